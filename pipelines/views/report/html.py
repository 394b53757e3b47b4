"""Markup that is safe by construction: whatever is not `Html` already is escaped on its way in."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

VOID = frozenset({"br", "meta"})
"""Elements without an end tag."""


class Html(str):
    """Text that is markup; only `tag` and `join` make it, from text that they escape."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"
Attribute: TypeAlias = "str | float | None"


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """Return an element; children that are plain text are escaped, None and "" leave nothing.

    Attributes are written in the order given, without those that are None. A name may end in "_"
    (``class_``) and its other "_" become "-" (``aria_label``).
    """
    given = "".join(
        f' {_name(key)}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "" if name in VOID else f"</{name}>"
    return Html(f"<{name}{given}>{join(children)}{end}")


def join(children: Iterable[Child]) -> Html:
    """Return the children one after the other, escaped where they are plain text."""
    return Html("".join(map(_child, children)))


def raw(text: str) -> Html:
    """Return our own constant text, a style sheet or a script, as it is; never a user's."""
    return Html(text)


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return str(child)
    return escape(child, quote=False) if isinstance(child, str) else join(child)


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _text(value: str | float) -> str:
    """Return an attribute's text; a hundredth of a pixel is enough for every coordinate."""
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".")
