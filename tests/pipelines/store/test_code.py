"""The digest of code: what it sees, what it does not, and that every Python finds the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fusion.registry import method_modules
from pipelines.store import code
from pipelines.store.code import code_digest

ROOT = Path(__file__).parents[3]
MAIN = '''"""Card."""
from pkg_under_test.layers import Layer
from . import near


class Method:
    """Docstring."""

    def forward(self, x):
        # a comment
        return Layer()(x) + near.ONE
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "pkg_under_test"
    root.mkdir()
    (root / "__init__.py").write_text("from .far import TWO\n")
    (root / "main.py").write_text(MAIN)
    (root / "layers.py").write_text("raise RuntimeError('this was imported')\n")
    (root / "near.py").write_text("ONE = 1\n")
    (root / "far.py").write_text("TWO = 2\n")
    (root / "unrelated.py").write_text("THREE = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    return root


def test_code_digest_ignores_comments_docstrings_and_layout(package: Path) -> None:
    before = code_digest("pkg_under_test.main")
    text = MAIN.replace("# a comment", "# another").replace("Docstring.", "Said better.")
    (package / "main.py").write_text("# header\n\n" + text.replace("Card", "Other"))
    assert code_digest("pkg_under_test.main") == before


@pytest.mark.parametrize("name", ["main", "layers", "near"])
def test_code_digest_sees_the_module_and_what_it_imports(package: Path, name: str) -> None:
    before = code_digest("pkg_under_test.main")
    path = package / f"{name}.py"
    path.write_text(path.read_text() + "\nCHANGED = 1\n")
    assert code_digest("pkg_under_test.main") != before


def test_code_digest_follows_the_relative_imports_of_a_package(package: Path) -> None:
    before = code_digest("pkg_under_test")
    (package / "far.py").write_text("TWO = 22\n")
    assert code_digest("pkg_under_test") != before


def test_code_digest_does_not_see_strangers(package: Path) -> None:
    before = code_digest("pkg_under_test.main")
    (package / "unrelated.py").write_text("THREE = 33\n")
    assert code_digest("pkg_under_test.main") == before


@pytest.mark.parametrize(
    "text",
    [
        MAIN.replace("Layer()(x) + near.ONE", "Layer()(x) - near.ONE"),
        MAIN.replace("near.ONE", "near.ONE, 1.0"),
        MAIN.replace("self, x", "self, y"),
        MAIN.replace("self, x", "self, x=None"),
        MAIN.replace("import Layer", "import Layer as Other"),
        MAIN.replace("import Layer", "import Layers"),
        MAIN.replace("from . import near", "import near"),
        MAIN + "\nNOTE = 'a string that is no docstring'\n",
    ],
)
def test_every_change_of_code_is_seen(package: Path, text: str) -> None:
    before = code_digest("pkg_under_test.main")
    assert text != MAIN
    (package / "main.py").write_text(text)
    assert code_digest("pkg_under_test.main") != before


def test_code_digest_tells_kinds_of_constants_apart(package: Path) -> None:
    found = set()
    for value in ("1", "1.0", "True", "'1'", "b'1'", "None", "...", "1j", "'None'"):
        (package / "near.py").write_text(f"ONE = {value}\n")
        found.add(code_digest("pkg_under_test.main"))
    assert len(found) == 9


@pytest.mark.parametrize("name", ["aaa", "zzz"])
def test_a_module_may_be_renamed_or_moved(package: Path, name: str) -> None:
    (package / "layers.py").write_text("from .far import TWO\nfrom .near import ONE\n")
    before = code_digest("pkg_under_test.main")
    inner = package / "inner"
    inner.mkdir()
    (inner / "__init__.py").touch()
    (package / "layers.py").rename(inner / f"{name}.py")
    (inner / f"{name}.py").write_text(
        "from pkg_under_test.near import ONE\nfrom pkg_under_test.far import TWO\n"
    )
    (package / "main.py").write_text(
        MAIN.replace("pkg_under_test.layers", f"pkg_under_test.inner.{name}")
    )
    assert code_digest("pkg_under_test.main") == before
    (package / "far.py").write_text("TWO = 22\n")
    assert code_digest("pkg_under_test.main") != before


def test_modules_that_exchange_their_names_and_their_importers_notice_nothing(
    package: Path,
) -> None:
    text = "from .{} import ONE\nfrom .{} import TWO\n"
    (package / "main.py").write_text(text.format("near", "far"))
    before = code_digest("pkg_under_test.main")
    (package / "near.py").write_text("TWO = 2\n")
    (package / "far.py").write_text("ONE = 1\n")
    assert code_digest("pkg_under_test.main") != before
    (package / "main.py").write_text(text.format("far", "near"))
    assert code_digest("pkg_under_test.main") == before


def test_the_order_of_imports_does_not_count(package: Path) -> None:
    lines = ["import math", "from .near import ONE", "from .far import TWO", "import json as text"]
    found = set()
    for order in (lines, lines[::-1], sorted(lines)):
        (package / "main.py").write_text("\n".join(order))
        found.add(code_digest("pkg_under_test.main"))
    (package / "main.py").write_text("from .far import TWO\nimport math; import json as text")
    assert len(found) == 1
    assert code_digest("pkg_under_test.main") not in found


def test_a_name_taken_from_another_module_is_another_name(package: Path) -> None:
    (package / "far.py").write_text("ONE = 2\n")
    (package / "main.py").write_text("from .near import ONE\n")
    before = code_digest("pkg_under_test.main")
    (package / "main.py").write_text("from .far import ONE\n")
    assert code_digest("pkg_under_test.main") != before


def test_modules_that_import_each_other_end_the_walk(package: Path) -> None:
    (package / "near.py").write_text("from . import main\nONE = 1\n")
    before = code_digest("pkg_under_test.main")
    (package / "near.py").write_text("from . import main\nONE = 3\n")
    assert code_digest("pkg_under_test.main") != before


def test_a_new_way_of_writing_is_a_new_digest(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = code_digest("pkg_under_test.main")
    monkeypatch.setattr(code, "VERSION", code.VERSION + 1)
    assert code_digest("pkg_under_test.main") != before


SYNTAX = '''"""Much of the language, in the forms that differ between versions of its tools."""
import a, b.c as d
from e import *

async def f(x, /, y: int = 1, *args, z=(), **more) -> "text":
    """Docstring."""
    async with x as y, z: ...
    [await i async for i in x if not i], {**x, "k": 1}, {*y}, x[1:2, ..., *z], lambda: (yield)

class C(list, metaclass=type):
    """Docstring."""
    x: int
    def g(self): """Docstring alone."""

    @property
    def h(self): return f"{self.x!r:>{self.w}.{self.p}f} {{}} {self.x=} {'inner'} \\n" "more" u"old"

def empty(): pass
def flows(x):
    global w
    match x:
        case {"a": [1, *rest], **others} if rest: return rest
        case C(x=1) | None: pass
        case _: del x
    try: raise E from None
    except* (A, B) as error: nothing = f"{error:}" f'{"x"}' rf"\\d{x}"
    else: x += -1
    finally: assert (x := 2) < 3 <= 4, "\u20ac \U0001fae8"
    for i, (j, *k) in x: continue
    while not x and 1 or 2j: break
    return 1_000, 0x10, 1e300, b"\\x00", "", None, ..., x if y else z
'''


def interpreters() -> list[str]:
    """Other Pythons of this machine: on the path, or installed beside the one that runs this."""
    found: dict[tuple[int, ...], str] = {}
    for minor in range(11, 16):
        beside = sorted(Path(sys.base_prefix).parent.glob(f"*/bin/python3.{minor}"))
        for candidate in (shutil.which(f"python3.{minor}"), *map(str, beside)):
            if candidate and minor != sys.version_info.minor and _starts(candidate, minor):
                found[3, minor] = candidate
    return list(found.values())


def _starts(python: str, minor: int) -> bool:
    asked = [python, "-c", "import sys; print(sys.version_info.minor)"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() == str(minor)


ASK = """
import json, sys
from pipelines.store.code import code_digest
print(json.dumps({name: code_digest(name) for name in sys.argv[1:]}))
assert "torch" not in sys.modules and "numpy" not in sys.modules
"""


def digests(python: str, root: Path, names: list[str]) -> dict[str, str]:
    """Ask a Python without any package for digests."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(ROOT)])}
    done = subprocess.run(
        [python, "-S", "-c", ASK, *names],
        env=environment,
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("python", [sys.executable, *interpreters()])
def test_every_python_finds_the_same(python: str, package: Path) -> None:
    (package / "syntax.py").write_text(SYNTAX)
    own = [name for name in method_modules().values() if name.startswith("fusion.")]
    names = ["pkg_under_test.syntax", "pkg_under_test.main", "fusion.quality.reading", *own]
    assert digests(python, package.parent, names) == {name: code_digest(name) for name in names}


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[], str]:
    """Copy the fusion room; return what asks for the digest of LKC-FUNet there."""
    shutil.copytree(ROOT / "fusion", tmp_path / "fusion")
    name = "fusion.methods.lkc_funet"
    return lambda: digests(sys.executable, tmp_path, [name])[name]


def test_code_digest_of_a_network_holds_its_layers(copy: Callable[[], str], tmp_path: Path) -> None:
    before = copy()
    assert before == code_digest("fusion.methods.lkc_funet")
    path = tmp_path / "fusion" / "layers" / "large_kernel" / "spectral.py"
    path.write_text(path.read_text() + "\nCHANGED = 1\n")
    assert copy() != before


def test_a_network_may_be_moved(copy: Callable[[], str], tmp_path: Path) -> None:
    before, root = copy(), tmp_path / "fusion"
    (root / "networks" / "lkc_funet").rename(root / "layers" / "another")
    for path in root.rglob("*.py"):
        text = path.read_text()
        path.write_text(text.replace("fusion.networks.lkc_funet", "fusion.layers.another"))
    assert copy() == before
