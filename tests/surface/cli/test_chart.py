from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.core.extras import library
from soundstage.core.time import Duration, Instant
from soundstage.surface.cli.bars import Bars
from soundstage.surface.cli.chart import (
    HEIGHT_PX,
    SCALE,
    WIDTH_PX,
    _draw,
    _entitle,
    png,
    require_library,
    spaced,
    time_labels,
)

BLUE = (0x2A / 255, 0x6F / 255, 0x97 / 255)


def bars(*counts: int, width: str = "1h", start: str = "2026-10-24T00:00:00Z") -> Bars:
    return Bars(start=Instant.parse(start), width=Duration.parse(width), counts=list(counts))


def drawn(of: Bars, title: str = "trips · bike-7") -> bytes:
    return png(of, title=title, about="6 events", label="events per 1h")


def times(*texts: str) -> list[datetime]:
    return [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in texts]


def axes() -> Any:
    return library("matplotlib.figure", "plot").Figure().add_subplot()


@pytest.mark.slow
def test_it_is_a_png_of_its_size() -> None:
    pixels = library("matplotlib.image", "plot").imread(io.BytesIO(drawn(bars(1, 2, 3))), format="png")
    assert pixels.shape == (HEIGHT_PX * SCALE, WIDTH_PX * SCALE, 4)


@pytest.mark.slow
def test_bars_in_the_picture_are_as_high_as_they_count() -> None:
    pixels = library("matplotlib.image", "plot").imread(io.BytesIO(drawn(bars(10, 0, 40, 20))), format="png")
    blue = abs(pixels[:, :, :3] - BLUE).max(axis=2) < 0.01
    high = blue.sum(axis=0)
    first, last = int(WIDTH_PX * SCALE * 0.085), int(WIDTH_PX * SCALE * 0.955)
    middles = [first + (last - first) * (2 * place + 1) // 8 for place in range(4)]
    assert [round(40 * int(high[middle]) / int(high[middles[2]])) for middle in middles] == [10, 0, 40, 20]


@pytest.mark.slow
def test_the_same_is_drawn_the_same_again() -> None:
    assert drawn(bars(1, 2, 3)) == drawn(bars(1, 2, 3))


@pytest.mark.slow
@pytest.mark.parametrize(
    "of",
    [bars(0), bars(0, 0, 0), bars(*range(1_000)), bars(5_000_000_000), bars(3, width="1ms"), bars(1, width="2000d")],
    ids=["one", "none", "many", "high", "short", "long"],
)
def test_whatever_there_is_to_draw_is_drawn(of: Bars) -> None:
    assert drawn(of).startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("title", ["", "$x", "a_{b}$x$", "漢字 🚲", "\x1b[31m", "line\nline", "W" * 5_000])
def test_any_title_is_drawn(title: str) -> None:
    assert drawn(bars(1), title).startswith(b"\x89PNG")


@pytest.mark.slow
def test_of_a_long_title_is_shown_what_fits() -> None:
    figure = library("matplotlib.figure", "plot").Figure(figsize=(12, 5), dpi=200)
    _entitle(figure, "W" * 300)
    (text,) = figure.texts
    assert text.get_text().endswith("…")
    assert 0.8 < text.get_window_extent().x1 / (WIDTH_PX * SCALE) < 0.96


@pytest.mark.slow
def test_every_count_is_a_bar_from_0_on() -> None:
    on = axes()
    _draw(on, bars(4, 0, 9))
    assert [(bar.get_y(), bar.get_height()) for bar in on.patches] == [(0, 4), (0, 0), (0, 9)]
    assert on.get_ylim()[0] == 0


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        (times("2026-01-01", "2027-01-01"), ["2026", "2027"]),
        (times("2026-01-01", "2026-03-01"), ["2026-01", "2026-03"]),
        (times("2026-01-01", "2026-01-05"), ["2026-01-01", "2026-01-05"]),
        (times("2026-01-01T12:00", "2026-01-02T00:00"), ["12:00\n2026-01-01", "00:00\n2026-01-02"]),
        (times("2026-01-01T12:00", "2026-01-01T13:00"), ["12:00\n2026-01-01", "13:00\n"]),
        (times("2026-01-01T12:00", "2026-01-01T12:00:30"), ["12:00:00\n2026-01-01", "12:00:30\n"]),
        (times("2026-01-01T12:00", "2026-01-01T12:00:00.020"), ["12:00:00.000\n2026-01-01", "12:00:00.020\n"]),
    ],
)
def test_times_are_told_as_briefly_as_they_differ(given: list[datetime], labels: list[str]) -> None:
    assert time_labels(given) == labels


def test_a_time_that_would_be_written_over_the_next_is_left_out() -> None:
    given = times("2026-01-21", "2026-01-25", "2026-01-29", "2026-02-01", "2026-02-05")
    assert spaced(given) == [time for time in given if time.day != 29]


def test_times_of_months_are_all_told() -> None:
    given = times("2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01")
    assert spaced(given) == given


def test_who_lacks_the_library_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InvalidArgument) as refused:
        require_library()
    assert (refused.value.field, refused.value.hint) == ("plot", 'pip install "soundstage[plot]"')
