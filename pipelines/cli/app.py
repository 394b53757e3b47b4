"""The command line: words in, a command's words out, and every mendable error one sentence."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.exceptions import MissingArgumentError, UnusedCliTokensError

from fusion.errors import InputError
from pipelines.cli.commands import COMMANDS, FAMILIES

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel, InlineText
    from rich.console import Console, ConsoleOptions

DESCRIPTION = (
    "Fuse infrared and visible images with many methods, train the same detector and segmenter "
    "on each, and print who wins, by how much, and how sure we are."
)
EXIT_SECONDS = 5.0
"""How long libraries may take when the process ends: Prefect's has reports to a server to send."""
EXIT_CODES = (
    "Exit codes: 0 done; 1 a stage failed, or the disk (what is done is kept); 2 the words, the "
    "experiment or the data are wrong, or a plan is blocked; 130 stopped by Ctrl-C; 143 by SIGTERM "
    "or Prefect's cancel button; 129 by a closed terminal."
)


class HelpPage:
    """Help as aligned columns without boxes: the same on a terminal, in a pipe and in a file."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print a group of commands or options."""
        from cyclopts.help import DescriptionRenderer
        from rich.table import Table

        if not panel.entries:
            return
        describe = DescriptionRenderer()
        table = Table.grid(padding=(0, 2))
        table.add_column(style="cyan", no_wrap=True)
        table.add_column()
        for entry in panel.entries:
            table.add_row(f"  {' '.join(entry.display_labels_with_metavar)}", describe(entry))
        console.print()
        console.print(panel.title, style="bold", highlight=False)
        console.print(table)

    def render_usage(self, console: Console, options: ConsoleOptions, usage: object) -> None:
        """Print how the command is written."""
        console.print(f"Usage: {usage}", highlight=False, markup=False)

    def render_description(
        self, console: Console, options: ConsoleOptions, description: InlineText
    ) -> None:
        """Print what the command does."""
        console.print(description.primary_renderable, highlight=False)


def command_line() -> App:
    """Return the whole command line; no command's module is imported."""
    app = App(
        name="fuse-then",
        help=DESCRIPTION,
        help_epilogue=EXIT_CODES,
        help_format="plaintext",
        help_formatter=HelpPage(),
        version=lambda: f"fuse-then {version('fuse-then')}",
        default_parameter=Parameter(negative=(), allow_repeating=True),
        group_arguments="Arguments",
        group_parameters="Options",
        group_commands=Group("About fuse-then", sort_key=len(COMMANDS)),
        print_error=False,
        exit_on_error=False,
    )
    app.register_install_completion_command(help="Let your shell complete fuse-then's words.")
    for place, (title, commands) in enumerate(COMMANDS.items()):
        group = Group(title, sort_key=place)
        for number, (words, path, text, example) in enumerate(commands):
            family, _, name = words.rpartition(" ")
            if family and family not in app:
                app.command(_family(family, group))
            parent = app[family] if family else app
            parent.command(
                f"pipelines.cli.{path}",
                name=name,
                help=text,
                sort_key=number,
                group=None if family else group,
                help_epilogue=f"Example: {example}",
            )
    return app


def _family(name: str, group: Group) -> App:
    text, example = FAMILIES[name]
    return App(
        name=name,
        help=text,
        help_epilogue=f"Example: {example}",
        group=group,
        group_commands="Commands",
    )


app = command_line()


def main(
    arguments: Sequence[str] | None = None,
    flows: Callable[[], AbstractContextManager[Any]] | None = None,
) -> int:
    """Run one command; returns the exit code, as `EXIT_CODES` has them.

    `flows` opens another source of flows than `pipelines.cli.run.prefect_flows`.
    """
    if arguments is None:
        code = main(sys.argv[1:], flows)
        _end_in_time(code)
        return code
    try:
        code = _run(list(arguments), flows)
        sys.stdout.flush()  # now, while a reader that is gone can be forgiven
        return code
    except CycloptsError as error:
        return _say(f"{_usage(error)} {_help_of(error)} says more.", 2)
    except InputError as error:
        from pipelines.execution.faults import is_the_machines

        return _say(str(error), 1 if is_the_machines(error) else 2)
    except BrokenPipeError:  # the reader, head or less, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as error:
        code = getattr(error, "code", 130)  # of `pipelines.execution.stopping.Stopped`
        return _say("stopped; finished stages are kept, run again to go on.", code)
    except Exception as error:
        from pipelines.execution.faults import KEPT, refusal
        from pipelines.execution.worker import StageFailed  # is there, where it was raised

        if isinstance(error, StageFailed):
            return _say(str(error), 1)
        if (sentence := refusal(error)) is not None:
            return _say(f"{sentence}; {KEPT}.", 1)
        raise


def _end_in_time(code: int) -> None:
    """Have the process end though a library waits for what is gone."""
    timer = threading.Timer(EXIT_SECONDS, os._exit, (code,))
    timer.daemon = True
    timer.start()


def _run(words: list[str], flows: Callable[[], AbstractContextManager[Any]] | None) -> int:
    command, bound, unparsed = app.parse_args(words)
    console = bound.arguments.get("console")
    if console is None:
        given = {"flows": flows} if flows is not None and "flows" in unparsed else {}
        return int(command(*bound.args, **bound.kwargs, **given) or 0)
    with console.capture() as page:  # as rich would end with 1 where the reader is gone
        command(*bound.args, **bound.kwargs)
    print("\n".join(line.rstrip() for line in page.get().splitlines()))
    # Help that nobody asked for means that a command is missing.
    return 2 if command == app.help_print and not {"-h", "--help"} & set(words) else 0


def _usage(error: CycloptsError) -> str:
    """Return what is wrong with the words, without the command that its help names anyway."""
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f'"{error.unused_tokens[0]}" is one word too many.'
    text = re.sub('^Command ".*?" parameter ', "", str(error))
    if isinstance(error, MissingArgumentError) and error.keyword is None:
        return text.replace("requires an argument", "is missing")
    return text.replace("an argument", "a value").replace("positional arguments", "values")


def _help_of(error: CycloptsError) -> str:
    return " ".join(("fuse-then", *(error.command_chain or ()), "--help"))


def _say(sentence: str, code: int) -> int:
    with contextlib.suppress(OSError):  # a terminal that is gone
        print(f"fuse-then: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
