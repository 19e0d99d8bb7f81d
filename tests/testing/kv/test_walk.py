"""A walk agrees with a store that is right, and finds one that is wrong."""

from __future__ import annotations

from bisect import insort
from random import Random
from typing import Any

import msgspec
import pytest
from tests.testing.kv.conftest import memory_opener

from soundstage.core import version
from soundstage.core.errors import Unavailable
from soundstage.data.kv import cached_reads, namespace, predicates
from soundstage.data.kv.api import MatchRange
from soundstage.data.kv.cache_entries import Answer
from soundstage.data.kv.cached_records import CachedRecords
from soundstage.data.kv.selections import Filling
from soundstage.data.kv.service import KeyValueService
from soundstage.data.kv.tokens import DriftWindow
from soundstage.engines.records import memory, tombstones
from soundstage.engines.records.passing import PassingRecords
from soundstage.engines.records.port import Stamp, TableSpec
from soundstage.testing.kv.readings import Divergence
from soundstage.testing.kv.walk import ACTS, EPOCH_STEPS, Walk, walk
from soundstage.testing.kv.writes import Change, token_at
from soundstage.testing.records import OpenEngine

STEPS = 1_200


async def test_every_act_can_be_the_first(open_memory: OpenEngine) -> None:
    for number, act in enumerate(ACTS):
        found = Walk(open_memory, name=f"first-{number}")
        await found.store.open()
        await act(found, Random(1))
        await found.store.close()


async def test_a_divergence_names_the_seed_and_the_step(
    open_memory: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Filling, "shape", roomier)
    found = Walk(open_memory, seed=7)
    await found.store.open()
    with pytest.raises(Divergence, match=r"^seed 7, step \d+: "):
        await found.run(STEPS)
    await found.store.close()


async def test_an_epoch_ends_with_an_empty_store_and_an_empty_model(open_memory: OpenEngine) -> None:
    found = Walk(open_memory)
    await found.store.open()
    await found.run(EPOCH_STEPS)
    assert (found.model.records, found.sent) == ({}, [])
    assert (await found.store.kv.scan_items()).records == []
    await found.store.close()


async def test_one_seed_is_one_walk(open_memory: OpenEngine) -> None:
    walks = [Walk(open_memory, seed=3, name=name) for name in ("one", "other")]
    for found in walks:
        await found.store.open()
        await found.run(300)
        await found.store.close()
    assert walks[0].model.records.keys() == walks[1].model.records.keys()
    assert walks[0].sent == walks[1].sent


async def test_a_store_goes_past_what_was_seen_at_the_edge(open_memory: OpenEngine) -> None:
    found = Walk(open_memory)
    await found.store.open()
    change, chance = Change("put", puts=((b"a", b"x", None),)), Random(1)
    edge = token_at(found.store.now_us + found.drift.future_us, "edge")
    await found._send(found.names[0], change, edge, None, chance)
    await found._send(found.names[0], change, None, None, chance)
    assert [sent.token.generation_time > edge.generation_time for sent in found.sent] == [False, True]
    await found.store.close()


async def test_a_store_that_refuses_to_make_a_token_without_need_is_found(
    open_memory: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Walk(open_memory)
    await found.store.open()
    monkeypatch.setattr(KeyValueService, "put_items", unavailable)
    with pytest.raises(Divergence, match="without a token was refused"):
        await found._send(found.names[0], Change("put", puts=((b"a", b"x", None),)), None, None, Random(1))
    await found.store.close()


async def unavailable(*_: Any) -> Any:
    raise Unavailable("not now", outcome="not_applied", retryable=False)


def nothing(*_: Any, **__: Any) -> None:
    return None


def arrival_order(self: Any, name: bytes, found: Any, key: bytes, cell: bytes) -> None:
    if key not in found.cells:
        insort(found.keys, key)
    found.cells[key] = cell


def a_tick_longer(cell: bytes, now_us: int, tombstone: bytes | None = None) -> bool:
    if version.is_delete(cell) or (tombstone is not None and tombstone > cell):
        return False
    return version.expires_us(cell) == 0 or now_us <= version.expires_us(cell)


def forgetful_tables(self: Any, name: str, config: Any, capabilities: frozenset[str]) -> list[TableSpec]:
    return [msgspec.structs.replace(spec, max_lag_us=0) for spec in TABLES(name, config, capabilities)]


def a_tick_older(self: DriftWindow, token: Any, now_us: int) -> int:
    return ADMIT(self._replace(past_us=self.past_us + 1), token, now_us)


async def roomier(self: Filling, rows: Any, room: int, patience: Any) -> Any:
    return await SHAPE(self, rows, room + 50, patience)


def without_flags(match: MatchRange) -> tuple[bytes, bytes | None]:
    return BOUNDS(MatchRange(start=match.start, end=match.end))


def unchanged(given: Any, *_: Any) -> Any:
    return given


def of_live_items(self: Any) -> Stamp | None:
    cell = max(self.cells.values(), default=None)
    return None if cell is None else Stamp(version.time_us(cell), version.token(cell))


TABLES, ADMIT, SHAPE, BOUNDS = namespace.tables, DriftWindow.admit, Filling.shape, predicates.bounds_of

MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "deleted ranges are not looked at": (tombstones, "covering", nothing),
    "the last arrival wins": (memory._Table, "_offer", arrival_order),
    "items live a tick longer": (version, "is_live", a_tick_longer),
    "tombstones go while older writes are taken": (KeyValueService, "tables", forgetful_tables),
    "conditional writes keep their own time": (memory, "restamped", unchanged),
    "repetitions are not known": (memory._Table, "enter_ledger", nothing),
    "record tokens are those of items": (memory._Partition, "stamp", of_live_items),
    "tokens a tick too old are taken": (DriftWindow, "admit", a_tick_older),
    "a raised drift counts at once": (DriftWindow, "raised", unchanged),
    "clocks do not look at replies": (KeyValueService, "_saw", nothing),
    "pages hold more than their bytes": (Filling, "shape", roomier),
    "all ranges hold their start and not their end": (predicates, "bounds_of", without_flags),
}
"""What a store might get wrong, and where it is made to."""


@pytest.mark.slow
@pytest.mark.parametrize("wrong", MUTANTS)
def test_a_wrong_store_is_found(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*MUTANTS[wrong])
    with pytest.raises(Divergence):
        walk(memory_opener(), seed=7, steps=STEPS)


def as_kept(self: Answer, now_us: int) -> Any:
    return list(self.rows or ())


def one_question(keys: Any) -> bytes:
    return b"p"


CACHE_MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "writers tell the cache nothing": (CachedRecords, "apply", PassingRecords.apply),
    "what has expired is shown": (Answer, "live", as_kept),
    "all keys are one question": (cached_reads, "points", one_question),
}


@pytest.mark.slow
@pytest.mark.parametrize("wrong", CACHE_MUTANTS)
def test_a_wrong_cache_is_found(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*CACHE_MUTANTS[wrong])
    with pytest.raises(Divergence):
        walk(memory_opener(), seed=7, steps=STEPS, cached=True)
