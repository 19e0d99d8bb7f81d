"""A store that is wrong in one thing is found out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.testing.kv.conftest import memory_opener

from soundstage.core.errors import SoundstageError
from soundstage.data.timeseries import placement, reads, repeated, service, slices, writes
from soundstage.data.timeseries.segments import layers
from soundstage.data.timeseries.slices import UNMOVED
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.testing.timeseries.walk import SITUATIONS, H, walk

pytestmark = [pytest.mark.slow, pytest.mark.holds_the_loop]

STEPS = 400


def _late(records: Any, window: Any) -> list[int]:
    oldest_ns = window.oldest_ns
    return [index for index, each in enumerate(records) if oldest_ns is not None and each.time_ns <= oldest_ns]


def _interval(interval: Any) -> tuple[int, bytes]:
    return interval.start, placement.key_of_time(interval.end + H)


def _not_dropped(self: Any, found: Any, now_ns: int) -> bool:
    return not found.dropping


def _matches_all(found: Any, filters: Any) -> bool:
    return True


async def _all(served: Any, records: Any, indices: Any, now_ns: int, check: Any) -> set[int]:
    return set(indices)


WRONG: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "an event of just the limit is late": (writes, "late", _late),
    "repetitions are late too": (writes, "not_stored", _all),
    "what is behind an interval is in it": (service, "interval_of", _interval),
    "filters are not looked at": (reads, "_matches", _matches_all),
    "closed slices are shown": (slices.Lifetime, "is_read", _not_dropped),
}


def _only_tables(records: Any, segments: Any, found: Any, series: Any, time_bucket: Any, span: Any) -> Any:
    if found.tables:
        found = found.altered(UNMOVED)
    return layers.reader_of(records, segments, found, series, time_bucket, span)


async def _not_looked_up(*_: Any) -> None:
    return


def _not_renewed(self: Any, now_us: int) -> Any:
    moved = msgspec.structs.replace(self.moved, sealed=(self.table,), sealed_us=now_us)
    return self.altered(moved)


WRONG_WITH_SEGMENTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "what lies in segments is hidden by a table": (reads, "reader_of", _only_tables),
    "a retry is not looked up in segments": (repeated, "_look_in_segments", _not_looked_up),
    "a sealed table is written to": (slices.Slice, "resealed", _not_renewed),
}


async def test_what_is_right_is_not_found_out() -> None:
    met = await walk(memory_opener(), 2, STEPS)
    assert met["written"] > STEPS // 4
    assert {name for name, times in met.items() if times} <= set(SITUATIONS)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda name: name.replace(" ", "_"))
async def test_what_is_wrong_is_found_out(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, replacement = WRONG[wrong]
    monkeypatch.setattr(owner, name, replacement)
    with pytest.raises(AssertionError, match="seed 1, step"):
        await walk(memory_opener(), 1, STEPS)


async def test_what_is_right_with_segments_is_not_found_out() -> None:
    met = await walk(memory_opener(), 2, STEPS, cold=MemoryBlobs)
    assert met["late"] > 0


@pytest.mark.parametrize("wrong", WRONG_WITH_SEGMENTS, ids=lambda name: name.replace(" ", "_"))
async def test_what_is_wrong_with_segments_is_found_out(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, replacement = WRONG_WITH_SEGMENTS[wrong]
    monkeypatch.setattr(owner, name, replacement)
    with pytest.raises((AssertionError, SoundstageError)):
        await walk(memory_opener(), 1, STEPS, cold=MemoryBlobs)
