"""What is no plain file, or too large, is refused before it is opened, and soon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.hostile_files import NO_FILES, large_png, png
from fusion.errors import InputError
from fusion.opening import check_file, is_file, read_text
from fusion.pairs import list_images, read_gray, read_rgb, read_stack

pytestmark = pytest.mark.timeout(10)


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_plain_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    make, told = NO_FILES[kind]
    make(path)
    with pytest.raises(InputError) as caught:
        check_file(path, 10**9, "give another")
    assert told in str(caught.value)
    assert str(caught.value).endswith("; give another.")


@pytest.mark.parametrize("kind", [kind for kind in NO_FILES if kind != "terabyte"])
def test_a_folder_of_images_holds_files(tmp_path: Path, kind: str) -> None:
    make, told = NO_FILES[kind]
    make(tmp_path / "1.png")
    with pytest.raises(InputError) as caught:
        list_images(tmp_path)
    assert told in str(caught.value)


@pytest.mark.parametrize("read", [read_rgb, read_gray, read_stack])
@pytest.mark.parametrize("kind", NO_FILES)
def test_a_reader_of_images_refuses_what_is_no_file(
    tmp_path: Path, kind: str, read: object
) -> None:
    assert callable(read)
    NO_FILES[kind][0](tmp_path / "1.png")
    with pytest.raises(InputError, match=r"1\.png (is|has|cannot)"):
        read(tmp_path / "1.png")


def test_names_that_no_file_can_have_are_no_files(tmp_path: Path) -> None:
    assert not is_file(tmp_path / ("x" * 5000))
    assert not is_file(tmp_path / "a\0b")
    with pytest.raises(InputError, match="cannot be opened"):
        check_file(tmp_path / "a\0b", 1)
    with pytest.raises(InputError, match="cannot be opened"):
        check_file(tmp_path / ("x" * 5000), 1)


def test_a_text_may_begin_with_a_mark_and_must_be_utf8(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfx\xc3\xa4")
    assert read_text(tmp_path / "a", 10) == "xä"
    (tmp_path / "b").write_bytes(b"\xff")
    with pytest.raises(InputError, match="not a text file in UTF-8"):
        read_text(tmp_path / "b", 10)


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.png", b"a\nb.png", b"\x1b[2J.png", b"\xe2\x80\xae.png"]
)
def test_names_of_images_can_be_shown(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).write_bytes(large_png(8))
    with pytest.raises(InputError, match="rename it") as caught:
        list_images(tmp_path)
    assert str(caught.value).isprintable()


def test_names_with_markup_and_letters_of_all_writings_are_taken(tmp_path: Path) -> None:
    names = ["<b>", "&amp;", "$(id)", "a b", "\u591c\u3000\u666f", "\u0646\u200c\u0641", "%s"]
    for name in names:
        (tmp_path / f"{name}.png").write_bytes(large_png(8))
    assert sorted(list_images(tmp_path)) == sorted(names)


IMAGES = {
    "a header of more than all memory": png(2**20 - 1, 2**20 - 1),
    "a header of more than is read": png(7000, 7000),
    "a header alone": png(1000, 1000),
    "zero pixels": png(0, 0),
    "more pixels than are read": large_png(6400),
    "another format": b"RIFF\x10\0\0\0WEBPVP8 ",
    "text": b"P3 1 1 255 0 0 0",
    "a beginning": b"\x89PNG\r\n\x1a\n",
}


CODE = """
import resource, sys, time
from pathlib import Path
import fusion
from fusion.errors import InputError
from fusion.pairs import read_rgb
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).iterdir()):
    started = time.perf_counter()
    try:
        read_rgb(path)
        print(path.name, 0, "was read")
    except InputError as error:
        print(path.name, time.perf_counter() - started, error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_images_beyond_the_limits_are_one_sentence_each_and_fill_no_memory(tmp_path: Path) -> None:
    for number, content in enumerate(IMAGES.values()):
        (tmp_path / f"{number}.png").write_bytes(content)
    # In a process of its own: OpenCV asks once for its limit, perhaps before a test imported us.
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *lines, megabytes = done.stdout.splitlines()
    for kind, line in zip(IMAGES, lines, strict=True):
        _, seconds, sentence = line.split(" ", 2)
        assert "pixels" in sentence or "cannot be read as an image" in sentence, kind
        assert float(seconds) < 2, kind
    assert int(megabytes) < 100
