"""A chart of bars as a PNG, drawn without a display by a library that comes with an extra."""

from __future__ import annotations

import io
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from soundstage.core.errors import InvalidArgument
from soundstage.core.extras import library
from soundstage.core.time import NS_PER_US
from soundstage.surface.cli.bars import Bars
from soundstage.surface.cli.notation import harmless

EXTRA = "plot"

WIDTH_PX, HEIGHT_PX = 1_200, 500
SCALE = 2
"""Pixels of the file for each of the chart, for screens that are finer."""

_PX_PER_INCH = 100
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.085, 0.955, 0.16, 0.8
"""Where the bars are, as parts of the chart; titles begin at the left end of the numbers."""

_TITLE_LEFT = 0.022
_TITLE_CHARS_MAX = 200
_GAP = 0.12
_GAP_BARS_MAX = 240
"""With more of them there is no room for gaps."""

_TICKS_MIN, _TICKS_MAX = 5, 11
_TICKS_CLOSE = 0.8
"""Of the widest distance between two: what is nearer would be written over the next."""

_FULL_NUMBERS_BELOW = 1_000_000
_BAR, _QUIET, _LINE = "#2a6f97", "#5c6670", "#d9dee3"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def require_library() -> None:
    """Raise `InvalidArgument` that names the extra where there is nothing to draw with."""
    _library("matplotlib")


def png(bars: Bars, *, title: str, about: str, label: str) -> bytes:
    """The chart as bytes of a file. What does not fit of the `title` is cut; `label` is what the heights count."""
    with _own_settings():
        figure = _library("matplotlib.figure").Figure(
            figsize=(WIDTH_PX / _PX_PER_INCH, HEIGHT_PX / _PX_PER_INCH), dpi=_PX_PER_INCH * SCALE
        )
        # A canvas of its own: nothing asks for a display, nor keeps the figure.
        canvas = _library("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
        axes = figure.add_axes((_LEFT, _BOTTOM, _RIGHT - _LEFT, _TOP - _BOTTOM))
        _draw(axes, bars)
        _mark_times(axes, bars)
        _mark_counts(axes, bars, label)
        figure.text(_TITLE_LEFT, 0.845, about, fontsize=10, color=_QUIET, parse_math=False)
        _entitle(figure, title)
        made = io.BytesIO()
        canvas.print_png(made, metadata={"Software": None})
        return made.getvalue()


def spaced(times: Sequence[datetime]) -> list[datetime]:
    """`times` without those that are close before another, as the 29th of a month is before the first of the next."""
    widest = max((after - before for before, after in pairwise(times)), default=timedelta())
    closing = [after - before < widest * _TICKS_CLOSE for before, after in pairwise(times)]
    return [time for time, close in zip(times, [*closing, False], strict=False) if not close]


def time_labels(times: Sequence[datetime]) -> list[str]:
    """Each time as briefly as tells them apart: the day, month or year; or the time of day, above the day if new."""
    if all(time.timetz() == _EPOCH.timetz() for time in times):
        months = all(time.day == 1 for time in times)
        years = months and all(time.month == 1 for time in times)
        return [f"{time:%Y}" if years else f"{time:%Y-%m}" if months else f"{time:%Y-%m-%d}" for time in times]
    unit = "milliseconds" if any(time.microsecond for time in times) else "seconds"
    if not any(time.second or time.microsecond for time in times):
        unit = "minutes"
    clock = [time.time().isoformat(unit) for time in times]
    days = [""] + [f"{after:%Y-%m-%d}" if after.date() != before.date() else "" for before, after in pairwise(times)]
    days[0] = f"{times[0]:%Y-%m-%d}"
    return [f"{time}\n{day}" for time, day in zip(clock, days, strict=True)]


def _draw(axes: Any, bars: Bars) -> None:
    edges = _library("matplotlib.dates").date2num(
        [_moment(bars.start + place * bars.width) for place in range(len(bars.counts) + 1)]
    )
    if len(bars.counts) <= _GAP_BARS_MAX:
        middles = [(before + after) / 2 for before, after in pairwise(edges)]
        axes.bar(middles, bars.counts, width=(edges[1] - edges[0]) * (1 - _GAP), color=_BAR, linewidth=0, zorder=2)
    else:
        axes.stairs(bars.counts, edges, fill=True, color=_BAR, linewidth=0, zorder=2)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, max(1, *bars.counts) * 1.06)


def _mark_times(axes: Any, bars: Bars) -> None:
    dates = _library("matplotlib.dates")
    first, last = _moment(bars.start), _moment(bars.end)
    locator = dates.AutoDateLocator(tz=UTC, minticks=_TICKS_MIN, maxticks=_TICKS_MAX)
    found = [dates.num2date(value, tz=UTC) for value in locator.tick_values(first, last)]
    shown = spaced([time for time in found if first <= time <= last]) or [first]
    axes.set_xticks(dates.date2num(shown), time_labels(shown))
    axes.figure.text(_RIGHT, 0.022, "UTC", ha="right", fontsize=10, color=_QUIET)
    axes.tick_params(axis="x", colors=_QUIET)
    axes.spines["bottom"].set_color(_QUIET)


def _mark_counts(axes: Any, bars: Bars, label: str) -> None:
    ticker = _library("matplotlib.ticker")
    full = max(bars.counts) < _FULL_NUMBERS_BELOW
    axes.yaxis.set_major_locator(ticker.MaxNLocator(nbins=6, integer=True))
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}") if full else ticker.EngFormatter())
    axes.grid(axis="y", color=_LINE, linewidth=0.8, zorder=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0, colors=_QUIET)
    axes.set_ylabel(label, color=_QUIET)


def _entitle(figure: Any, title: str) -> None:
    shown = harmless(title).replace("\n", "\\n").replace("\t", "\\t")
    for length in range(min(len(shown), _TITLE_CHARS_MAX), 0, -1):
        cut = shown if length == len(shown) else f"{shown[:length]}…"
        text = figure.text(_TITLE_LEFT, 0.91, cut, fontsize=14, fontweight="bold", parse_math=False)
        if text.get_window_extent().x1 <= _RIGHT * WIDTH_PX * SCALE:
            return
        text.remove()


def _moment(ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ns // NS_PER_US)


@contextmanager
def _own_settings() -> Generator[None]:
    """The library's own settings and fonts, whatever the machine has set; signs without a glyph are boxes."""
    root = _library("matplotlib")
    with root.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root.rcdefaults()
        yield


def _library(name: str) -> Any:
    try:
        return library(name, EXTRA)
    except ModuleNotFoundError as error:
        raise InvalidArgument(
            "a plot needs a library that is not installed here", hint=f'pip install "soundstage[{EXTRA}]"', field="plot"
        ) from error
