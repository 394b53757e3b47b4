"""YAML and --set that nobody means well: one sentence, soon, and before anything is built of it."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fusion.errors import InputError, did_you_mean
from pipelines.specs.loading import load_dataset, load_experiment, parse_overrides, read_yaml
from pipelines.specs.yaml_text import DEEPEST, parse_yaml

LETTERS = "abcdefghij"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{this}: &{this} [{', '.join([f'*{last}'] * 9)}]\n" for last, this in pairwise(LETTERS)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{this}: &{this} {{<<: [{', '.join([f'*{last}'] * 9)}]}}\n" for last, this in pairwise(LETTERS)
)
CHAIN = "a0: &a0 [1]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}]\n" for n in range(200))
TEXTS = {
    "aliases of aliases": (BOMB, "250,000 values"),
    "merges of merges": (MERGES, "250,000 values"),
    "a long chain of aliases": (CHAIN, f"nesting than {DEEPEST}"),
    "a list in itself": ("a: &a [*a]", "alias of what it stands in"),
    "a mapping in itself": ("a: &a {<<: *a}", "alias of what it stands in"),
    "deep lists": ("[" * 100_000, f"more than {DEEPEST} deep"),
    "deep mappings": ("{a: " * 2000, f"more than {DEEPEST} deep"),
    "many values": ("[" + "0," * 250_001 + "0]", "250,000 values"),
    "much text": ("#" * 8_000_001, "8,000,000 characters"),
    "a long value": (f"a: {'x' * 10_001}", "10,001 characters (line 1)"),
    "digits": (f"a: {'9' * 5000}", "too large a number"),
    "a large number": ("a: 0xffffffffffffffff", "too large a number"),
    "control characters": ('a: 1\nb: "\\x1b[31m"', r'"\x1b[31m" (line 2)'),
    "half a character": ("a: \ud800", "not valid YAML"),
    "code": ("a: !!python/object/apply:os.system [id]", "tag"),
    "bytes": ("a: !!binary aGk=", "tag"),
    "a set": ("a: !!set {b}", "tag"),
    "a list as a key": ("? [a]\n: b", "unhashable key"),
    "no digits": ("a: 0b_", "not valid YAML"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_beyond_the_limits_is_one_sentence_soon(kind: str) -> None:
    text, told = TEXTS[kind]
    started = time.perf_counter()
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "x.yaml")
    assert time.perf_counter() - started < 2
    assert str(caught.value).startswith("x.yaml ")
    assert str(caught.value).endswith(".")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_plain_values_aliases_and_dates_are_read() -> None:
    text = "a: &a {x: 1, y: [1.5, yes, ~]}\nb: {<<: *a, x: 2}\nc: 2001-01-01\nd: 007"
    shared = {"x": 1, "y": [1.5, True, None]}
    assert parse_yaml(text, "x") == {
        "a": shared,
        "b": {**shared, "x": 2},
        "c": "2001-01-01",
        "d": 7,
    }


EXPERIMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "a grid of 10^9": (
        {"methods": [{"name": "average", "grid": {k: list(range(1000)) for k in "abc"}}]},
        "1,000,000,000 points, and a grid may have 1,000",
    ),
    "a task's grid": (
        {"detection.grid": {"epochs": list(range(1, 100)), "batch": list(range(1, 100))}},
        "9,801 points",
    ),
    "seeds": ({"seeds": list(range(100_000))}, "at most 1000 items"),
    "a negative seed": ({"seeds": [-1]}, "greater than or equal to 0"),
    "a large seed": ({"seeds": [2**32]}, "less than or equal to 4294967295"),
    "methods": ({"methods": ["average"] * 100_000}, "at most 1,000"),
    "trainings": (
        {
            "methods": [{"name": "average", "grid": {"a": list(range(500))}}],
            "seeds": list(range(100)),
        },
        "at most 20,000 are planned",
    ),
    "a long name": ({"name": "x" * 100}, "at most 60 letters"),
    "a long method": ({"methods": ["x" * 100_000]}, "at most 60 letters"),
    "a long label": (
        {"methods": [{"name": "average", "label": "x" * 1000}]},
        "at most 300 letters",
    ),
    "a label that rings": ({"methods": [{"name": "average", "label": "\a"}]}, r"\x07"),
    "a label that is no text": ({"methods": [{"name": "average", "label": "\udcff"}]}, r"\udcff"),
    "a long time": ({"timeout_hours": 1e300}, "less than or equal to 100000"),
    "many scenes": ({"detection.dataset.scenes.train": 10**12}, "less than or equal to 100000"),
    "large scenes": ({"detection.dataset.scenes.width": 10**9}, "less than or equal to 4096"),
    "no value's place": ({"methods.9999": "x"}, "names no place"),
}


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_an_experiment_beyond_the_limits_is_one_sentence_soon(kind: str) -> None:
    changes, told = EXPERIMENTS[kind]
    started = time.perf_counter()
    with pytest.raises(InputError) as caught:
        load_experiment("smoke", changes)
    assert time.perf_counter() - started < 2
    assert told in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_what_follows_set_has_the_same_limits() -> None:
    with pytest.raises(InputError, match=r'The value of "--set a=.*deep'):
        parse_overrides([f"a={'[' * 1000}"])
    with pytest.raises(InputError, match="is not of the form"):
        parse_overrides(["x" * 1000])


def test_classes_are_few_and_different() -> None:
    for classes, told in ((["a", "a"], "names one class twice"), (["a"] * 1001, "at most 1000")):
        with pytest.raises(InputError, match=told):
            load_dataset("m3fd", {"root": "/nowhere", "classes": classes})


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder, not a file"):
        read_yaml(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(InputError, match="not a text file in UTF-8"):
        read_yaml(tmp_path / "bytes.yaml")


def test_nobody_is_asked_what_a_megabyte_may_have_meant() -> None:
    started = time.perf_counter()
    assert did_you_mean("x" * 10**6, ["average"]) == " Available: average."
    assert did_you_mean("n5", [f"n{number}" for number in range(10**5)]).endswith(", ....")
    assert time.perf_counter() - started < 1


def test_a_sentence_shows_what_cannot_be_printed() -> None:
    assert str(InputError("a\x1b[2J\udcff")) == r"a\x1b[2J\udcff"
    assert str(InputError("first\nsecond\u2028")) == "first\nsecond\\u2028"
    assert str(InputError("x" * 10**6)).endswith("... (1000000 characters)")
