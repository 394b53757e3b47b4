"""Published checkpoints: the list, finding, checking and fetching them, from a server of ours."""

from __future__ import annotations

import hashlib
import http.server
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fusion import cards, load_method, method_class
from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.weights import catalogue
from fusion.weights.catalogue import Published, WeightFile
from fusion.weights.fetch import fetch
from fusion.weights.published import (
    choose_published,
    digests_of,
    find_published,
    place_of,
    recognise,
    weights_home,
)
from pipelines.cli import app as cli
from pipelines.specs.method import MethodSpec
from pipelines.store.files import FileDigests
from pipelines.tasks.facts import Facts, weights_digest

BODY = bytes(range(256)) * 1000
SHA = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends BODY as the server's `mode` says; `asked` lists the ranges wanted."""

    def do_GET(self) -> None:
        say = self.server.say
        wanted = self.headers.get("Range")
        say.asked.append(wanted)
        begin = int(wanted[6:-1]) if wanted and say.ranges else 0
        if say.mode == "gone":
            self.send_error(404)
            return
        if begin > len(say.body):
            self.send_error(416)
            return
        part = say.body[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            total = len(say.body)
            self.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
        if say.length:
            self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: len(part) // 3] if say.mode == "truncated" else part)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    say = SimpleNamespace(mode="good", ranges=True, length=True, body=BODY, asked=[])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.say = say
        say.url = f"http://127.0.0.1:{made.server_port}/w.pth"
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield say
        made.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSE_THEN_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def file_at(url: str | None, **changes: object) -> WeightFile:
    return replace(WeightFile("w.pth", "the page", url, len(BODY), SHA), **changes)


def test_a_good_transfer(server: SimpleNamespace, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "new" / "w.pth"
    fetch(file_at(server.url), target, lambda *progress: seen.append(progress))
    assert target.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    assert [path.name for path in target.parent.iterdir()] == ["w.pth"]
    fetch(file_at(server.url), target)
    assert server.asked == [None]  # what is there is not fetched again


def test_a_truncated_transfer_goes_on(server: SimpleNamespace, tmp_path: Path) -> None:
    server.mode = "truncated"
    with pytest.raises(InputError, match=r"goes on from"):
        fetch(file_at(server.url), tmp_path / "w.pth")
    assert not (tmp_path / "w.pth").exists()
    have = (tmp_path / "w.pth.part").stat().st_size
    assert have == len(BODY) // 3
    server.mode = "good"
    fetch(file_at(server.url), tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == BODY
    assert server.asked == [None, f"bytes={have}-"]
    assert not (tmp_path / "w.pth.part").exists()


def test_a_server_that_cannot_resume(server: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "w.pth.part").write_bytes(b"x" * 100)
    server.ranges = False
    fetch(file_at(server.url), tmp_path / "w.pth")
    assert server.asked == ["bytes=100-"]
    assert (tmp_path / "w.pth").read_bytes() == BODY


@pytest.mark.parametrize("known", [True, False])
def test_a_part_that_is_too_long_or_whole(
    server: SimpleNamespace, tmp_path: Path, known: bool
) -> None:
    file = file_at(server.url) if known else file_at(server.url, bytes=None)
    (tmp_path / "w.pth.part").write_bytes(BODY + b"more")
    fetch(file, tmp_path / "w.pth")
    assert server.asked == [f"bytes={len(BODY) + 4}-", None]
    (tmp_path / "w.pth").rename(tmp_path / "w.pth.part")
    if known:
        fetch(file, tmp_path / "w.pth")
        assert len(server.asked) == 2
    assert (tmp_path / ("w.pth" if known else "w.pth.part")).read_bytes() == BODY


def test_a_server_that_tells_no_length(server: SimpleNamespace, tmp_path: Path) -> None:
    server.length = False
    fetch(file_at(server.url, bytes=None), tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == BODY
    server.mode = "truncated"
    with pytest.raises(InputError, match=r"w\.pth: it has \d+ bytes instead of 256000"):
        fetch(file_at(server.url), tmp_path / "other.pth")


@pytest.mark.parametrize("key", ["sha256", "git_blob"])
def test_other_bytes_are_deleted(server: SimpleNamespace, tmp_path: Path, key: str) -> None:
    file = file_at(server.url, **{"sha256": None, key: "0" * 40})
    with pytest.raises(InputError, match=rf"as {key.replace('_', ' ')} instead of 0.*was deleted"):
        fetch(file, tmp_path / "w.pth")
    assert list(tmp_path.iterdir()) == []


def test_another_size_is_not_even_fetched(server: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"offers 256000 bytes, but .* has 7; nothing was fetched"):
        fetch(file_at(server.url, bytes=7), tmp_path / "w.pth")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_page(server: SimpleNamespace, tmp_path: Path) -> None:
    server.mode = "gone"
    with pytest.raises(InputError, match=r"answered 404 \(Not Found\); look at the page, and put"):
        fetch(file_at(server.url), tmp_path / "w.pth")
    assert list(tmp_path.iterdir()) == []


def test_nobody_answers(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/w.pth"
        with pytest.raises(InputError, match=r"could not be fetched .*Connection refused"):
            fetch(file_at(url), tmp_path / "w.pth")


def test_what_has_no_address_is_to_be_got_by_hand(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"by hand from the page and put it at {tmp_path}/w\.pth"):
        fetch(file_at(None), tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes(BODY)
    fetch(file_at(None), tmp_path / "w.pth")


def test_the_digests_are_git_s(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(BODY)
    command = ["git", "hash-object", str(tmp_path / "w")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    found = digests_of(tmp_path / "w")
    assert (found.bytes, found.sha256, found.git_blob) == (len(BODY), SHA, said)


def test_the_list_is_sound() -> None:
    names = [entry.name for entry in catalogue.published()]
    assert names == list(dict.fromkeys(names))
    methods = [entry.method for entry in catalogue.published()]
    assert methods == sorted(methods)
    places = [(entry.method, file.name) for entry in catalogue.published() for file in entry.files]
    assert len(set(places)) == len(places)
    known = {card.name: card for card in cards()}
    for entry in catalogue.published():
        assert entry.licence
        if entry.preset is not None and entry.method in known:
            assert entry.preset in known[entry.method].presets
        if len(entry.files) > 1 and entry.method in known:
            assert {file.name for file in entry.files} == set(method_class(entry.method).nested)
        for file in entry.files:
            assert len(file.sha256 or "0" * 64) == 64
            assert len(file.git_blob or "0" * 40) == 40
            assert file.source
            assert file.url is None or file.url.startswith("https://")
            assert file.url is None or file.identified, "an address without a digest"


def test_the_list_agrees_with_the_real_files(data_home: Path) -> None:
    folder = data_home / "weights" / "fusion"
    known = {file.sha256 for entry in catalogue.published() for file in entry.files}
    found = {path.name: digests_of(path).sha256 for path in folder.iterdir()}
    assert len(found) >= 8
    assert {name for name, sha256 in found.items() if sha256 not in known} == set()


def test_the_real_files_load_as_published(data_home: Path, home: Path) -> None:
    known = [card.name for card in cards()]
    for path in (data_home / "weights" / "fusion").iterdir():
        entry, file = recognise(path)
        if entry.method in known:
            place = home / entry.method / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
            word = f"published:{entry.variant}" if entry.variant else "published"
            assert load_method(entry.method, word).weights == str(place)


def test_choosing() -> None:
    assert choose_published("mmdrfuse", "published").variant == "student"
    assert choose_published("mmdrfuse", "published", preset="teacher").variant == "teacher"
    assert choose_published("mmdrfuse", "published:teacher").preset == "teacher"
    assert choose_published("ship", "published", preset="any").name == "ship"
    with pytest.raises(
        InputError, match=r'no published checkpoint "teachr"\. Did you mean "teacher'
    ):
        choose_published("mmdrfuse", "published:teachr")
    with pytest.raises(InputError, match='No published checkpoint of the method "average"'):
        choose_published("average", "published")
    assert find_published("ship").name == "ship"
    with pytest.raises(InputError, match="name one of mmdrfuse/student, mmdrfuse/teacher"):
        find_published("mmdrfuse")
    with pytest.raises(InputError, match=r'no published checkpoint "shop"\. Did you mean "ship"'):
        find_published("shop")


def test_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FUSE_THEN_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights_home() == tmp_path / "fuse-then" / "weights"
    assert place_of(find_published("ship")) == weights_home() / "ship" / "SHIP_model.pth"
    assert place_of(find_published("segmif")) == weights_home() / "segmif"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert weights_home() == Path.home() / ".cache" / "fuse-then" / "weights"


@pytest.fixture
def published(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Published:
    """Publish weights of lkc_funet's preset "tiny", two entries, the first not downloadable."""
    torch.manual_seed(0)
    torch.save(load_method("lkc_funet", preset="tiny").state_dict(), tmp_path / "tiny.pth")
    known = digests_of(tmp_path / "tiny.pth")
    file = WeightFile("tiny.pth", "the page", None, known.bytes, known.sha256)
    first = Published("lkc_funet", "MIT", (WeightFile("big.pth", "a drive"),), "big", "paper")
    entry = Published("lkc_funet", "MIT", (file,), "small", "tiny")
    monkeypatch.setattr(catalogue, "published", lambda: (first, entry))
    return entry


def test_load_method_takes_published_weights(published: Published, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="get it with `fuse-then weights fetch lkc_funet/small`"):
        load_method("lkc_funet", "published:small")
    place = place_of(published)
    place.parent.mkdir(parents=True)
    place.write_bytes((tmp_path / "tiny.pth").read_bytes())
    by_variant = load_method("lkc_funet", "published:small")
    by_preset = load_method("lkc_funet", "published", preset="tiny")
    assert by_variant.weights == by_preset.weights == str(place)
    assert isinstance(by_variant, FusionMethod)
    assert by_variant.state_dict().keys() == torch.load(place, weights_only=True).keys()
    place.write_bytes(place.read_bytes()[:-1])
    with pytest.raises(InputError, match=r'is not the published "lkc_funet/small": it has \d+ byt'):
        load_method("lkc_funet", "published:small")


def digest_of(spec: MethodSpec, given: Path, tmp_path: Path) -> str:
    return weights_digest(spec, given, Facts(FileDigests(tmp_path / "digests.sqlite")))


def test_an_experiment_names_published_weights(published: Published, tmp_path: Path) -> None:
    spec = MethodSpec(name="lkc_funet", checkpoint="published:small", params={"preset": "tiny"})
    with pytest.raises(InputError, match="get it with `fuse-then weights fetch lkc_funet/small`"):
        digest_of(spec, Path(spec.checkpoint), tmp_path)
    place = place_of(published)
    place.parent.mkdir(parents=True)
    place.write_bytes((tmp_path / "tiny.pth").read_bytes())
    want = published.files[0].sha256
    assert digest_of(spec, Path(spec.checkpoint), tmp_path) == want
    by_preset = MethodSpec(name="lkc_funet", checkpoint="published", params={"preset": "tiny"})
    assert digest_of(by_preset, Path("published"), tmp_path) == want


def test_an_experiment_names_a_folder_of_weights(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "first.pth").write_bytes(b"1")
    spec = MethodSpec(name="segmif", checkpoint=folder)
    before = digest_of(spec, folder, tmp_path)
    assert digest_of(spec, folder, tmp_path) == before
    (folder / "first.pth").write_bytes(b"22")
    changed = digest_of(spec, folder, tmp_path)
    (folder / "second.pth").write_bytes(b"2")
    assert len({before, changed, digest_of(spec, folder, tmp_path)}) == 3
    with pytest.raises(InputError, match=r'none of "segmif\.checkpoint" does not exist'):
        digest_of(spec, tmp_path / "none", tmp_path)


def test_commands(
    published: Published, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["weights", "list"]) == 0
    listed = capsys.readouterr().out
    assert "lkc_funet/small     by hand" in listed
    assert f"They lie, or would lie, in {home}" in listed
    assert cli.main(["weights", "verify", str(tmp_path / "tiny.pth")]) == 0
    assert "tiny.pth is the published lkc_funet/small" in capsys.readouterr().out
    assert cli.main(["weights", "path", "lkc_funet/small"]) == 0
    place = Path(capsys.readouterr().out.strip())
    assert place == home / "lkc_funet" / "tiny.pth"
    assert cli.main(["weights", "fetch", "lkc_funet/small"]) == 2
    assert f"get it by hand from the page and put it at {place}." in capsys.readouterr().err
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes((tmp_path / "tiny.pth").read_bytes())
    assert cli.main(["weights", "list"]) == 0
    assert "lkc_funet/small     here" in capsys.readouterr().out


def test_fetch_command(
    server: SimpleNamespace,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    entry = Published("x", "none stated", (file_at(server.url),))
    monkeypatch.setattr(catalogue, "published", lambda: (entry,))
    assert cli.main(["weights", "fetch", "x"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(home / "x" / "w.pth")
    assert "licence none stated" in said.err
    assert (home / "x" / "w.pth").read_bytes() == BODY


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tiny.pth", b"half", r'cannot be confirmed as "lkc_funet/small": it has 4 bytes'),
        (
            "big.pth",
            b"half",
            r'as "lkc_funet/big": no digest of it is known here; compare .* drive',
        ),
        ("new.pth", b"half", "is none of the published checkpoints known here"),
    ],
)
def test_unknown_files(
    published: Published, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        recognise(tmp_path / name)
    with pytest.raises(InputError, match="cannot be opened"):
        recognise(tmp_path / "gone.pth")
