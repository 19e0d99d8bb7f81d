"""`--plot`: what an operation finds, counted by time and drawn into a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from functools import reduce
from typing import Any

import msgspec

from soundstage.core.errors import InvalidArgument
from soundstage.core.operation import Operation
from soundstage.core.plots import Plot
from soundstage.core.time import Duration
from soundstage.surface.cli.bars import Bars, chosen_width, empty_bars
from soundstage.surface.cli.calls import replies
from soundstage.surface.cli.chart import png, require_library
from soundstage.surface.cli.failure import DONE, usage
from soundstage.surface.cli.flags import Flag
from soundstage.surface.cli.options import Plotting, Target
from soundstage.surface.cli.output import Format, chosen_format, show
from soundstage.surface.cli.progress import Report, bar
from soundstage.surface.cli.request import assemble, read_input
from soundstage.surface.cli.target import reached

ENDING = ".png"


class Plotted(msgspec.Struct, frozen=True):
    """What was drawn: the file, how long its intervals are and how many, and all that was counted."""

    plot: str
    interval: Duration
    bars: int
    count: int


def draw(
    operation: Operation[..., Any],
    plot: Plot,
    flags: Sequence[Flag],
    given: Mapping[str, Any],
    input: str | None,
    plotting: Plotting,
    target: Target,
    output: Format | None,
) -> int:
    """What the message asks for is drawn into the file that `plotting` names, which is replaced, and told."""
    file = _file(plotting)
    require_library()
    request, bars = _asked(operation, plot, flags, given, read_input(input), plotting)
    asyncio.run(_count(operation, plot, request, bars, target))
    about = f"{bars.total:,} {plot.events}{_narrowed(request, plot)} · {_at(request, plot.start)} to "
    drawn = png(
        bars,
        title=" · ".join(str(value) for path in plot.title if (value := _at(request, path))),
        about=f"{about}{_at(request, plot.end)}",
        label=f"{plot.events} per {bars.width}",
    )
    _write(file, drawn)
    show(Plotted(file, bars.width, len(bars.counts), bars.total), chosen_format(output))
    return DONE


def _asked(
    operation: Operation[..., Any],
    plot: Plot,
    flags: Sequence[Flag],
    given: Mapping[str, Any],
    brought: dict[str, Any],
    plotting: Plotting,
) -> tuple[Any, Bars]:
    """The message with the width of intervals in it, where it takes that, and bars for what it finds."""
    outer, *inner = plot.width.split(".")
    if plot.width and outer not in brought:
        # What is counted need not be said: the plot says it.
        brought[outer] = reduce(lambda value, name: {name: value}, reversed(inner), "0s")
    request = assemble(operation.request, flags, given, brought)
    width = _width(plotting)
    if plot.width and _at(request, plot.width) is None:
        raise InvalidArgument("a plot counts by time", field=outer, hint=f"leave out {outer}, or give {plot.width}")
    start, end = _at(request, plot.start), _at(request, plot.end)
    width = width or (_at(request, plot.width) if plot.width else None) or chosen_width(start, max(start, end))
    bars = empty_bars(start, end, width)
    return (_with(request, plot.width.split("."), bars.width) if plot.width else request), bars


async def _count(operation: Operation[..., Any], plot: Plot, request: Any, bars: Bars, target: Target) -> None:
    """All that is found is in the bars."""
    async with reached(target, reads=operation.reads) as stage:
        with bar(f"counting {plot.events}", plot.events) as report:
            async with aclosing(replies(stage, operation, request)) as found:
                async for reply in found:
                    _add(reply, plot, bars, report)


def _add(reply: Any, plot: Plot, bars: Bars, report: Report) -> None:
    rows: Sequence[Any] = _at(reply, plot.rows) or ()
    for row in rows:
        bars.add(_at(row, plot.at), _at(row, plot.count) if plot.count else 1)
    report(bars.total, None, str(_at(rows[-1], plot.at)) if rows else "")


def _at(message: Any, path: str) -> Any:
    """What `message` has under a dotted path; None where something on the way is."""
    return reduce(lambda found, name: None if found is None else getattr(found, name), path.split("."), message)


def _with(message: Any, names: Sequence[str], value: Any) -> Any:
    """`message` with `value` under the path of `names`."""
    name, *rest = names
    inner = _with(getattr(message, name), rest, value) if rest else value
    return msgspec.structs.replace(message, **{name: inner})


def _narrowed(request: Any, plot: Plot) -> str:
    return " that match" if any(_at(request, path) for path in plot.narrowed) else ""


def _width(plotting: Plotting) -> Duration | None:
    try:
        return None if plotting.plot_interval is None else Duration.parse(plotting.plot_interval)
    except InvalidArgument as error:
        raise usage(error.detail, hint=error.hint, field="plot_interval") from None


def _file(plotting: Plotting) -> str:
    """Where the plot goes; refused before anything is counted, where nothing can go there."""
    if plotting.plot is None:
        raise usage("--plot-interval is of a plot", hint="give --plot FILE.png too", field="plot_interval")
    file = os.path.expanduser(plotting.plot)
    if not file.lower().endswith(ENDING):
        raise usage(f"a plot is a PNG, and {file!r} does not end in {ENDING}", field="plot")
    folder = os.path.dirname(file) or "."
    if not os.path.isdir(folder):
        raise usage(f"there is no folder {folder}", hint="make it first", field="plot")
    return file


def _write(file: str, drawn: bytes) -> None:
    try:
        with open(file, "wb") as out:
            out.write(drawn)
    except OSError as error:
        raise InvalidArgument(f"{file} cannot be written: {error.strerror or error}", field="plot") from None
