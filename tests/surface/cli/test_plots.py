"""`--plot`: what is counted, by which interval, and what is refused before anything is."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from tests.surface.cli.conftest import Cli

from soundstage.catalogue import SYSTEMS
from soundstage.core.operation import operations_of
from soundstage.core.plots import Plot
from soundstage.core.time import Duration
from soundstage.data.timeseries.api import TimeSeriesCalls
from soundstage.data.timeseries.plots import PLOTS
from soundstage.data.timeseries.service import TimeSeriesService
from soundstage.runtime.stage import Stage
from soundstage.surface.cli import plots
from soundstage.surface.cli.bars import Bars

STAGE = """
data = "data"
[engines.found]
url = "tantivy:found"
[namespaces.trips]
abstraction = "timeseries"
[namespaces.trips.config.index]
engine = "found"
fields = { city = "keyword" }
"""
DAY = ("--time-interval", '{"start": "2026-10-24T00:00:00Z", "end": "2026-10-25T00:00:00Z"}')
READ = ("timeseries", "read-event-records", "--namespace", "trips", "--time-series-id", "bike", *DAY)
AGGREGATE = ("timeseries", "aggregate-event-records", "--namespace", "trips", *DAY)
OF_TERNES = {"equals": {"event_item_key": "city", "event_item_value": "VGVybmVz"}}


class Drawn(msgspec.Struct):
    """What was to be drawn, instead of a picture."""

    bars: list[Bars] = msgspec.field(default_factory=list[Bars])
    words: list[dict[str, str]] = msgspec.field(default_factory=list[dict[str, str]])

    def png(self, bars: Bars, **words: str) -> bytes:
        self.bars.append(bars)
        self.words.append(words)
        return b"a picture"

    @property
    def counted(self) -> dict[int, int]:
        """Counts by the number of their bar, without empty ones."""
        return {place: count for place, count in enumerate(self.bars[-1].counts) if count}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    found = Drawn()
    monkeypatch.setattr(plots, "png", found.png)
    return found


@pytest.fixture
def filled(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six events of two ids in a namespace with an index."""
    (tmp_path / "stage.toml").write_text(STAGE)
    monkeypatch.setenv("SOUNDSTAGE_STAGE", "stage.toml")
    when = ("08:00:00", "08:59:59.999999999", "09:00:00", "23:59:59")
    events = [event("bike", time, f"a{number}") for number, time in enumerate(when)]
    events += [event("tram", "08:30:00", "b1"), event("tram", "12:00:00", "b2", city="UGFyaXM=")]
    written = cli("timeseries", "write-event-records-sync", "--namespace", "trips", "--events", json.dumps(events))
    assert written.code == 0
    asyncio.run(indexed())


def event(series: str, time: str, event_id: str, city: str = "VGVybmVz") -> dict[str, Any]:
    items = [{"event_item_key": "city", "event_item_value": city}]
    return {
        "time_series_id": series,
        "event_time": f"2026-10-24T{time}Z",
        "event_id": event_id,
        "event_items": items,
    }


async def indexed() -> None:
    async with Stage.open("stage.toml", background=False) as stage:
        service = await stage.systems.started("timeseries")
        assert isinstance(service, TimeSeriesService)
        while await service.tend_index("trips", lambda: None):
            pass


@pytest.mark.slow
@pytest.mark.usefixtures("filled")
def test_events_of_an_id_are_counted_over_all_pages(cli: Cli, drawn: Drawn) -> None:
    ended = cli(*READ, "--page-size", "1", "--plot", "bike.png", "--plot-interval", "1h")
    assert ended.json == {"plot": "bike.png", "interval": "1h", "bars": 24, "count": 4}
    assert drawn.counted == {8: 2, 9: 1, 23: 1}
    about = "4 events · 2026-10-24T00:00:00Z to 2026-10-25T00:00:00Z"
    assert drawn.words == [{"title": "trips · bike", "about": about, "label": "events per 1h"}]
    assert Path("bike.png").read_bytes() == b"a picture"


@pytest.mark.slow
@pytest.mark.usefixtures("filled")
def test_events_of_all_ids_are_counted_by_the_index(cli: Cli, drawn: Drawn) -> None:
    assert cli(*AGGREGATE, "--plot", "all.png", "--plot-interval", "1h").json["count"] == 6
    assert drawn.counted == {8: 3, 9: 1, 12: 1, 23: 1}
    assert drawn.words[0]["title"] == "trips"


@pytest.mark.slow
@pytest.mark.usefixtures("filled")
def test_what_is_searched_for_is_counted_and_the_chart_says_so(cli: Cli, drawn: Drawn) -> None:
    query = ("--search-query", json.dumps(OF_TERNES))
    assert cli(*AGGREGATE, *query, "--plot", "all.png").json == {
        "plot": "all.png",
        "interval": "15m",
        "bars": 96,
        "count": 5,
    }
    assert drawn.words[0]["about"].startswith("5 events that match · ")


@pytest.mark.slow
@pytest.mark.usefixtures("filled")
def test_the_interval_of_the_message_is_that_of_the_plot_unless_one_is_asked_for(cli: Cli, drawn: Drawn) -> None:
    by = ("--aggregation-query.time-histogram.interval", "12h", "--plot", "all.png")
    assert cli(*AGGREGATE, *by).json["interval"] == "12h"
    assert drawn.bars[-1].counts == [4, 2]
    assert cli(*AGGREGATE, *by, "--plot-interval", "6h").json["interval"] == "6h"
    assert drawn.bars[-1].counts == [0, 4, 1, 1]


@pytest.mark.slow
@pytest.mark.usefixtures("filled")
def test_an_interval_may_be_of_so_long_ago(cli: Cli, drawn: Drawn) -> None:
    asked = ("--time-interval.start", "2h", "--time-interval.end", "1h")
    assert cli(*READ[:-2], *asked, "--plot", "bike.png", "--plot-interval", "1h").code == 0
    # The clock goes on between start and end, and may pass an hour.
    assert len(drawn.bars[0].counts) in (1, 2, 3)
    assert drawn.bars[0].width == Duration.parse("1h")


@pytest.mark.slow
@pytest.mark.usefixtures("filled")
def test_a_real_picture_takes_the_place_of_the_file(cli: Cli) -> None:
    Path("bike.png").write_bytes(b"an older picture")
    assert cli(*READ, "--plot", "bike.png").code == 0
    assert Path("bike.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("flags", "field", "told"),
    [
        (("--plot", "bike.svg"), "plot", "does not end in .png"),
        (("--plot", "nowhere/bike.png"), "plot", "there is no folder nowhere"),
        (("--plot-interval", "1h"), "plot_interval", "is of a plot"),
        (("--plot", "bike.png", "--plot-interval", "soon"), "plot_interval", "soon"),
        (("--plot", "bike.png", "--plot-interval", "1s"), None, "make 86400 bars"),
        (("--plot", "bike.png", "--time-interval.end", "2026-10-24T00:00:00Z"), None, "no time between"),
    ],
)
def test_what_cannot_be_plotted_is_refused_before_anything_is_read(
    cli: Cli, drawn: Drawn, flags: tuple[str, ...], field: str | None, told: str
) -> None:
    ended = cli(*READ, *flags, "--output", "json")
    assert (ended.code, ended.problem.get("field"), told in ended.problem["detail"]) == (2, field, True)
    assert drawn.bars == []


def test_what_is_counted_otherwise_is_not_plotted(cli: Cli) -> None:
    ended = cli(*AGGREGATE, "--aggregation-query", '{"count": {}}', "--plot", "all.png", "--output", "json")
    assert (ended.code, ended.problem["field"]) == (2, "aggregation_query")


def test_who_lacks_the_library_is_told_before_anything_is_read(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ended = cli(*READ, "--plot", "bike.png")
    assert (ended.code, 'pip install "soundstage[plot]"' in ended.err) == (2, True)


def test_what_no_system_counts_takes_no_such_flag(cli: Cli) -> None:
    ended = cli("timeseries", "list-slices", "--namespace", "trips", "--plot", "x.png")
    assert (ended.code, "--plot" in ended.err) == (2, True)


@pytest.mark.slow
def test_a_command_that_draws_nothing_loads_nothing_to_draw_with() -> None:
    code = "import sys, soundstage.surface.cli.plots; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_names_what_messages_have(name: str) -> None:
    plot, operation = PLOTS[name], operations_of(TimeSeriesCalls)[name]
    for path in (*plot.title, *plot.narrowed, plot.start, plot.end, plot.width, plot.rows):
        found = operation.reply if path == plot.rows else operation.request
        for part in filter(None, path.split(".")):
            found = struct_of(field_type(found, part)) or field_type(found, part)
    row = struct_of(field_type(operation.reply, plot.rows))
    assert row is not None
    assert {plot.at, plot.count} - {""} <= set(row.__struct_fields__)


def field_type(struct: Any, name: str) -> Any:
    return next(field.type for field in msgspec.structs.fields(struct) if field.name == name)


def struct_of(annotation: Any) -> type[msgspec.Struct] | None:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    return next((found for part in get_args(annotation) if (found := struct_of(part)) is not None), None)


def test_every_system_that_has_plots_has_them_of_its_operations() -> None:
    for system in SYSTEMS:
        try:
            declared: dict[str, Plot] = import_module(f"{system.path}.plots").PLOTS
        except ModuleNotFoundError:
            continue
        assert set(declared) <= set(operations_of(import_module(f"{system.path}.api").CALLS))
