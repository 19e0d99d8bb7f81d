"""The root command: what there is, each loaded when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from cyclopts import App, Group, Parameter
from cyclopts.exceptions import CycloptsError, UnknownCommandError, UnusedCliTokensError

from soundstage.core.errors import InvalidArgument, SoundstageError
from soundstage.core.names import nearest
from soundstage.surface.cli.commands import COMMANDS, SUMMARY, front_page, systems
from soundstage.surface.cli.failure import DONE, FAILED, INTERRUPTED, USAGE, CommandFailure, report, usage
from soundstage.surface.cli.help import HelpPages

GLOBAL_FLAGS = ("--url", "--stage", "--data", "--token", "--timeout", "--output")
"""Flags with a value that may also stand before the command."""

_SYSTEMS = Group("Systems", sort_key=1)
_STAGE = Group("Stage", sort_key=2)


def root() -> App:
    """The root command."""
    app = App(
        name="soundstage",
        help=SUMMARY,
        version_flags=(),
        help_format="plaintext",
        help_formatter=HelpPages(),
        print_error=False,
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
        default_parameter=Parameter(negative=()),
    )
    for name, (path, _) in COMMANDS.items():
        app.command(path, name=name, group=_STAGE)
    for name, system in systems().items():
        app.command(f"soundstage.surface.cli.systems:{name}", name=name, help=system.summary, group=_SYSTEMS)
    return app


def run(arguments: Sequence[str]) -> int:
    """What `soundstage ARGUMENTS` does; the exit code."""
    try:
        wanted = settled(arguments)
        if wanted[:1] in (["--help"], ["-h"]):
            print(front_page(), end="")
            return DONE
        return root()(wanted) or DONE
    except CommandFailure as failure:
        return _ended(failure, arguments)
    except CycloptsError as error:
        return _ended(_wrong_call(error), arguments)
    except InvalidArgument as error:
        return _ended(CommandFailure(error, USAGE), arguments)
    except SoundstageError as error:
        return _ended(CommandFailure(error, FAILED), arguments)
    except KeyboardInterrupt:
        return INTERRUPTED


def settled(arguments: Sequence[str]) -> list[str]:
    """`arguments` with the global flags that stand before the command behind it."""
    rest, moved = list(arguments), list[str]()
    while rest and rest[0].partition("=")[0] in GLOBAL_FLAGS:
        count = 1 if "=" in rest[0] else 2
        moved += rest[:count]
        del rest[:count]
    return rest + moved if rest else moved


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether the caller asked for JSON, as far as can be told from arguments that may be wrong."""
    values = [value for flag, value in pairwise(arguments) if flag == "--output"]
    values += [text.removeprefix("--output=") for text in arguments if text.startswith("--output=")]
    return not {"json", "jsonl"}.isdisjoint(values)


def _ended(failure: CommandFailure, arguments: Sequence[str]) -> int:
    report(failure, wants_json(arguments))
    return failure.exit_code


def _wrong_call(error: CycloptsError) -> CommandFailure:
    chain = " ".join(("soundstage", *(error.command_chain or ())))
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        return _unknown_command(error.unused_tokens[0], error, chain)
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return usage(f"{error.unused_tokens[0]!r} belongs to no flag", hint=f"see {chain} --help")
    return usage(_sentence(str(error)), hint=f"see {chain} --help")


def _unknown_command(name: str, error: UnknownCommandError, chain: str) -> CommandFailure:
    # The message of cyclopts would load every command to find out which it may mean.
    known = [] if error.app is None else [command for command in error.app if not command.startswith("-")]
    close = nearest(name, known)
    hint = f"did you mean {close!r}?" if close else f"see {chain} --help"
    return usage(f"there is no command {name!r}", hint=hint)


def _sentence(text: str) -> str:
    """A message of cyclopts in our form: no capital at its beginning, no stop at its end."""
    text = text.strip().rstrip(".")
    return text[:1].lower() + text[1:]
