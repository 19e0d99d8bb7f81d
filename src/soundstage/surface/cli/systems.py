"""A command per system of the catalogue, and below it a verb per operation, all derived from their declarations.

`soundstage.surface.cli.systems:NAME` is the command of the system NAME: an import path for the root command
to name without loading the system's messages.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from shlex import quote
from types import MappingProxyType
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from soundstage.core.operation import Operation, operations_of
from soundstage.core.plots import Plot
from soundstage.surface.cli.attachments import has_files
from soundstage.surface.cli.commands import systems
from soundstage.surface.cli.flags import Flag, flags_of, own_doc
from soundstage.surface.cli.help import HelpPages
from soundstage.surface.cli.options import STAGE_PANEL, Output, Plotting, Target
from soundstage.surface.cli.output import Format
from soundstage.surface.examples import example_of

_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
_NO_TARGET = Target()
_NO_PLOT = Plotting()
_NO_PLOTS: Mapping[str, Plot] = MappingProxyType({})


def __getattr__(name: str) -> App:
    found = systems().get(name)
    if found is None:
        raise AttributeError(name)
    calls = import_module(f"{found.path}.api").CALLS
    drawn = find_spec(f"{found.path}.plots") is not None
    return system_app(name, calls, import_module(f"{found.path}.plots").PLOTS if drawn else {})


def system_app(name: str, calls: type[Any], plots: Mapping[str, Plot] = _NO_PLOTS) -> App:
    """The command of a system with a verb for each operation that `calls` declares; some can be drawn by `plots`."""
    app = App(
        name=name,
        help=inspect.getdoc(calls) or "",
        help_format="plaintext",
        help_formatter=HelpPages(),
        version_flags=(),
    )
    for operation in operations_of(calls).values():
        verb = operation.name.replace("_", "-")
        called = f"soundstage {name} {verb}"
        command = command_of(operation, plots.get(operation.name))
        app.command(command, name=verb, usage=f"Usage: {called} {usage_of(operation)}")
    return app


def command_of(operation: Operation[..., Any], plot: Plot | None = None) -> Callable[..., int]:
    """The function that cyclopts calls: its signature has the flags of the operation's message, and of its `plot`."""
    flags = flags_of(operation.request)

    def run(
        *,
        target: Target = _NO_TARGET,
        plotting: Plotting = _NO_PLOT,
        output: Format | None = None,
        input: str | None = None,
        all_pages: bool = False,
        detach: bool = False,
        out: str | None = None,
        file: str | None = None,
        **fields: Any,
    ) -> int:
        from soundstage.surface.cli.calls import call

        given = {flag.names[0]: fields.get(_variable(flag)) for flag in flags}
        if plot is not None and plotting != _NO_PLOT:
            from soundstage.surface.cli.plots import draw

            return draw(operation, plot, flags, given, input, plotting, target, output)
        return call(operation, flags, given, target, output, input, all_pages, detach, out, file)

    # Hints of the parameters below come from the signature alone.
    run.__annotations__ = {}
    run.__name__ = operation.name
    run.__doc__ = "\n\n".join(filter(None, (operation.doc, own_doc(operation.request), example_of_call(operation))))
    run.__signature__ = inspect.Signature(  # pyright: ignore[reportFunctionMemberAccess]
        [*_field_parameters(flags), *_common_parameters(operation, plot)]
    )
    return run


def usage_of(operation: Operation[..., Any]) -> str:
    """The flags that the message cannot do without, as one line."""
    shown: dict[str, str] = {}
    for flag in _needed(operation):
        shown.setdefault(flag.path[0], f"{flag.names[0]} {flag.metavar or ''}".rstrip())
    return " ".join((*shown.values(), "[OPTIONS]"))


def example_of_call(operation: Operation[..., Any]) -> str:
    """A call with every flag that cannot be left out, for the help; empty when there are none."""
    given: dict[str, str] = {}
    message: dict[str, Any] | None = None
    for flag in _needed(operation):
        if flag.path[0] in given:
            continue
        if flag.metavar == "TEXT":
            sample = f"my-{flag.names[0].lstrip('-')}"
        elif flag.metavar in _SAMPLES:
            sample = _SAMPLES[flag.metavar]
        else:
            message = message or example_of(operation)
            sample = quote(json.dumps(message[flag.path[0]]))
        given[flag.path[0]] = f"{flag.names[0]} {sample}"
    verb = operation.name.replace("_", "-")
    return f"Example: soundstage {operation.system} {verb} {' '.join(given.values())}" if given else ""


_SAMPLES = {
    "PATH": "01a217f9-a4fd-7a4f-b236-aa33a9622cb6",
    "KEY=VALUE": "key=value",
    "INTEGER": "1",
    "NUMBER": "1.5",
    "DURATION": "10s",
}
"""How values of each kind look; others are shown as JSON."""


def _needed(operation: Operation[..., Any]) -> list[Flag]:
    """The flags of what the message cannot do without."""
    flags = flags_of(operation.request)
    return [flag for flag in flags if flag.help.startswith("required") or flag.names == ("--namespace",)]


def _field_parameters(flags: list[Flag]) -> list[inspect.Parameter]:
    panels = {
        title: Group(title, help=text, sort_key=index)
        for index, (title, text) in enumerate(dict.fromkeys(flag.panel for flag in flags))
    }
    return [_field_parameter(flag, panels[flag.panel[0]]) for flag in flags]


def _field_parameter(flag: Flag, panel: Group) -> inspect.Parameter:
    parameter = Parameter(
        name=flag.names,
        help=flag.help,
        group=panel,
        metavar=flag.metavar,
        negative=_negative(flag),
        show_default=False,
        allow_leading_hyphen=flag.metavar in {"BYTES", "KEY=VALUE"},
    )
    annotation = Annotated[flag.annotation | None, parameter]
    return inspect.Parameter(_variable(flag), _KEYWORD_ONLY, default=None, annotation=annotation)


def _negative(flag: Flag) -> str | tuple[()]:
    """The flag that sets a boolean field to false; none for an empty message, which is there or not."""
    if flag.annotation is not bool or flag.empty:
        return ()
    prefix, dot, last = flag.names[0].removeprefix("--").rpartition(".")
    return f"--{prefix}{dot}no-{last}"


def _common_parameters(operation: Operation[..., Any], plot: Plot | None) -> list[inspect.Parameter]:
    brought = Parameter(
        help="File with the message as JSON, - for standard input; flags go over it.",
        metavar="FILE",
        group=STAGE_PANEL,
        allow_leading_hyphen=True,
    )
    pages = Parameter(help="Follow the page tokens to the end.", group=STAGE_PANEL, show_default=False)
    found = [
        inspect.Parameter("input", _KEYWORD_ONLY, default=None, annotation=Annotated[str | None, brought]),
        inspect.Parameter("target", _KEYWORD_ONLY, default=_NO_TARGET, annotation=Target),
        inspect.Parameter("output", _KEYWORD_ONLY, default=None, annotation=Output),
    ]
    if plot is not None:
        found.append(inspect.Parameter("plotting", _KEYWORD_ONLY, default=_NO_PLOT, annotation=Plotting))
    if operation.paged:
        found.append(inspect.Parameter("all_pages", _KEYWORD_ONLY, default=False, annotation=Annotated[bool, pages]))
    if operation.kind == "upload":
        sent = Parameter(
            help="What to send; - for standard input, which is meant where nothing is said.",
            metavar="FILE",
            group=STAGE_PANEL,
            allow_leading_hyphen=True,
        )
        found.append(inspect.Parameter("file", _KEYWORD_ONLY, default=None, annotation=Annotated[str | None, sent]))
    if operation.kind == "download":
        to = Parameter(
            help="What to write to; - for standard output, which is meant where nothing is said.",
            metavar="FILE",
            group=STAGE_PANEL,
            allow_leading_hyphen=True,
        )
        found.append(inspect.Parameter("out", _KEYWORD_ONLY, default=None, annotation=Annotated[str | None, to]))
    elif has_files(operation):
        folder = Parameter(help="Folder that files of the result are written to.", metavar="FOLDER", group=STAGE_PANEL)
        found.append(inspect.Parameter("out", _KEYWORD_ONLY, default=None, annotation=Annotated[str | None, folder]))
    if operation.kind == "job":
        apart = Parameter(help="Do not wait: print the job's id.", group=STAGE_PANEL, show_default=False)
        found.append(inspect.Parameter("detach", _KEYWORD_ONLY, default=False, annotation=Annotated[bool, apart]))
    return found


def _variable(flag: Flag) -> str:
    """A Python name for the flag; with the first of its names, for a field may have two flags."""
    return "field_" + flag.names[0].removeprefix("--").replace("-", "_").replace(".", "__")
