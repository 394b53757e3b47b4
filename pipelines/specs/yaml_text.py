"""YAML that somebody wrote, read as plain values, within limits that no honest file comes near.

A few lines of aliases stand for more than any memory holds, and deep nesting for more than a call
stack does, so that a text is counted before anything is built of it.
"""

from __future__ import annotations

from typing import Any

import yaml

from fusion.errors import InputError, is_printable, printable

MOST_BYTES = 8_000_000
MOST_NODES = 250_000
"""The lists, mappings and values of a file, each as often as its aliases repeat it."""
DEEPEST = 40
LONGEST = 10_000
"""The characters of one value."""
LARGEST = 2**63

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is twenty times as fast
DATE = "tag:yaml.org,2002:timestamp"


PLAIN = {"null", "bool", "int", "float", "str", "seq", "map"}


class _Loader(_Base):  # type: ignore[misc]
    """Reads mappings, lists, text, numbers, true, false and null; a date is text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as yaml has it
        first: [rule for rule in rules if rule[0] != DATE]
        for first, rules in _Base.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {  # noqa: RUF012
        tag: how
        for tag, how in _Base.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in PLAIN
    }

    def construct_yaml_int(self, node: Any) -> int:
        # Python refuses to read thousands of digits, in a sentence for programmers.
        number: int = super().construct_yaml_int(node) if len(node.value) < 100 else LARGEST
        if abs(number) >= LARGEST:
            raise ValueError(f"{printable(node.value[:20])}... is too large a number")
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def parse_yaml(text: str, where: str) -> Any:
    """Return the plain values of a text; `where` begins the sentence of an InputError.

    Refused are what is no YAML, values of other kinds, and what is beyond the limits above.
    """
    if len(text) > MOST_BYTES:
        raise InputError(f"{where} has more than {MOST_BYTES:,} characters; make it smaller.")
    try:
        if _count(text):
            _check_aliases(yaml.compose(text, Loader=_Loader), {}, ())
        return yaml.load(text, Loader=_Loader)
    except _Refused as error:
        raise InputError(f"{where} {error}.") from error
    # Besides its own errors yaml raises what the making of a number raises.
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"{where} is not valid YAML: {why}; correct it.") from error


class _Refused(Exception):
    """A text is YAML, and beyond a limit."""


def _count(text: str) -> int:
    """Return how many aliases a text has; nothing is built."""
    depth = nodes = aliases = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            continue
        nodes += isinstance(event, yaml.NodeEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        if isinstance(event, yaml.ScalarEvent):
            mark: Any = event.start_mark
            _check_text(event.value, mark.line + 1)
        if depth > DEEPEST:
            raise _Refused(f"nests lists and mappings more than {DEEPEST} deep; write it flatter")
        if nodes > MOST_NODES:
            raise _Refused(f"holds more than {MOST_NODES:,} values; split it into several files")
    return aliases


def _check_text(value: str, line: int) -> None:
    if len(value) > LONGEST:
        raise _Refused(
            f"holds a value of {len(value):,} characters (line {line}), and at most {LONGEST:,} "
            f"are read; shorten it"
        )
    if not is_printable(value.replace("\n", "").replace("\t", "")):
        raise _Refused(
            f'holds "{printable(value)[:80]}" (line {line}), with characters that cannot be '
            f"printed; take them out"
        )


Extent = tuple[int, int]
"""How many nodes a node stands for, every alias counted as what it repeats, and how deep."""


def _check_aliases(node: Any, known: dict[int, Extent], above: tuple[int, ...]) -> Extent:
    if id(node) in above:
        raise _Refused("has an alias of what it stands in; write out what is meant")
    if id(node) not in known:
        inside = [] if node is None or isinstance(node, yaml.ScalarNode) else node.value
        parts = [part for one in inside for part in (one if isinstance(one, tuple) else (one,))]
        found = [_check_aliases(one, known, (*above, id(node))) for one in parts]
        size = 1 + sum(number for number, _ in found)
        depth = 1 + max((deep for _, deep in found), default=-1)
        if size > MOST_NODES or depth > DEEPEST:
            raise _Refused(
                f"stands for more than {MOST_NODES:,} values, or for a deeper nesting than "
                f"{DEEPEST}, by its aliases; write out what is meant"
            )
        known[id(node)] = size, depth
    return known[id(node)]
