"""The one exception that speaks to the user."""


class InputError(Exception):
    """Say what the user gave that is wrong, where it stands, and what to do, in one sentence.

    The command line prints the sentence alone and exits with 2; everything else is a bug and
    keeps its traceback.
    """


def did_you_mean(name: str, known: list[str]) -> str:
    """Return ``' Did you mean "x"? Available: ...'`` for an unknown `name`."""
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    return f"{hint} Available: {', '.join(sorted(known))}."
