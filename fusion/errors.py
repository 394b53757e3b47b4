"""The one exception that speaks to the user."""

import re

LONGEST_LINE = 6000
"""Of a sentence's line so many characters are shown: a path may have 4096."""
LONGEST_WORD = 100
"""Of what is longer nobody meant another word."""
MOST_WORDS = 200
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""Controls, ends of lines, what turns the direction of writing, and what stands for no letter."""


class InputError(Exception):
    """Say what the user gave that is wrong, where it stands, and what to do, in one sentence.

    The command line prints the sentence alone and exits with 2; everything else is a bug and
    keeps its traceback. What cannot be printed is shown escaped, as a file's name or a label may
    hold what a terminal would obey.
    """

    def __init__(self, *sentences: str) -> None:
        super().__init__(*("\n".join(map(_shown, text.split("\n"))) for text in sentences))


def _shown(line: str) -> str:
    if len(line) > LONGEST_LINE:
        line = f"{line[:LONGEST_LINE]}... ({len(line)} characters)"
    return without_passwords(printable(line))


_PASSWORD = re.compile(r"(\w+://)[^/@\s]+@")


def without_passwords(text: str) -> str:
    """Return a text without the names and passwords that addresses may hold: //USER:WORD@HOST."""
    return _PASSWORD.sub(r"\1***@", text)


_FOLDERS = re.compile(r"(?<![\w/:.~-])(?:~|/)[^\s'\",;=\[\]{}]*/")


def without_folders(text: str) -> str:
    """Return a text whose full paths are cut to their last names, for what leaves the machine."""
    return without_passwords(_FOLDERS.sub(".../", text))


def printable(text: str) -> str:
    r"""Return `text` with what has no look of its own escaped, as in ``\x1b`` and ``\udcff``."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def is_printable(text: str) -> bool:
    """Whether a name can be shown: bytes that are no UTF-8, and what moves a cursor, cannot."""
    return _HIDDEN.search(text) is None


def did_you_mean(name: str, known: list[str]) -> str:
    """Return ``' Did you mean "x"? Available: ...'`` for an unknown `name`."""
    import difflib

    # The comparison takes the product of both lengths, for every known word.
    few = known if len(name) <= LONGEST_WORD and len(known) <= MOST_WORDS else []
    near = difflib.get_close_matches(name, few, n=1)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    more = ", ..." if len(known) > MOST_WORDS else ""
    return f"{hint} Available: {', '.join(sorted(known)[:MOST_WORDS])}{more}."
