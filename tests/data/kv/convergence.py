"""Sets of versions that arrive in any order, any of them more than once, at namespaces on several engines.

Few keys, few tokens and few times, so that versions meet: one token with two payloads, values in chunks over and under
others, mutations of sets beside calls, and all of it below deletes that came before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from hypothesis import strategies as st
from tests.data.kv.conftest import ALL, between, item, keys

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.data.kv.api import DeleteMutation, KeyValue, Predicate, PutMutation
from soundstage.data.kv.items import manifest_of
from soundstage.data.kv.manifest import UPLOAD_BYTES
from soundstage.data.kv.mutation_target import Stored, encode
from soundstage.data.kv.service import KeyValueService
from soundstage.engines.records.port import ALL as WHOLE
from soundstage.engines.records.port import Budget, Cell, Stamp
from soundstage.runtime.stage import Stage

KNOBS: dict[str, Any] = {"chunk_threshold": "1KiB", "chunk_check": "1h", "chunk_grace": "1h"}
LARGE_BYTES = 5_000
AGES_S = (0, 1, 2, 30)
SWEEPS = 4
HOURS = 8
DEADLINE_S = 60.0

Item = tuple[bytes, bool, bool]
"""A value's letter, whether it is large, and whether it had expired when it was written."""


class Write(NamedTuple):
    """A call, or a mutation of a set: what is put or deleted, under a token of so many seconds ago."""

    age_s: int
    token: str
    puts: Mapping[bytes, Item]
    gone: Predicate | None
    place: int | None
    """That in its set; None: it is a call."""


_keys = st.sampled_from([b"", b"a", b"a", b"b"])
_items = st.tuples(st.sampled_from([b"x", b"y"]), st.booleans(), st.sampled_from([False, False, False, True]))
_puts = st.dictionaries(_keys, _items, min_size=1, max_size=2)
_ranges = st.sampled_from([between(b"a"), between(b"a", b"b"), between(None, b"a"), between(None, b"b"), between()])
_deletes = st.one_of(st.just(ALL), st.builds(keys, _keys), _ranges)
_some_puts = _puts.map(lambda puts: (puts, None))
_some = st.one_of(_some_puts, _some_puts, _deletes.map(lambda gone: (dict[bytes, Item](), gone)))


@st.composite
def _together(draw: st.DrawFn) -> list[Write]:
    """A call by itself, or a set of up to three mutations."""
    age_s, token = draw(st.sampled_from(AGES_S)), draw(st.sampled_from(["a", "b"]))
    parts = draw(st.lists(_some, min_size=1, max_size=3))
    if len(parts) == 1:
        return [Write(age_s, token, *parts[0], None)]
    return [Write(age_s, token, *part, number) for number, part in enumerate(parts)]


writes: st.SearchStrategy[list[Write]] = st.lists(_together(), min_size=3, max_size=6).map(
    lambda found: [write for each in found for write in each]
)


def arrivals(writes: Sequence[Write], chance: Random) -> list[Write]:
    """All of them, some more than once, in another order."""
    found = [*writes, *chance.choices(writes, k=len(writes) // 2)]
    chance.shuffle(found)
    return found


class Shown(NamedTuple):
    """What there is of a record: its rows but for the names of uploads, its newest version, and its values."""

    rows: list[tuple[bytes, bytes]]
    stamp: Stamp | None
    values: list[tuple[bytes, bytes | None]]


class Places:
    """Namespaces of one stage, each on an engine of its own."""

    def __init__(self, stage: Stage, names: Sequence[str], environment: VirtualEnvironment) -> None:
        self.names: Sequence[str] = names
        self._stage = stage
        self._environment = environment
        self._records = 0

    async def play(self, writes: Sequence[Write], chance: Random) -> None:
        """Whatever order the writes come in, everywhere is the same, also once what is nobody's was swept away."""
        self._records += 1
        id, now_us = f"record-{self._records}", self._environment.now_us()
        orders = [(name, each) for name in self.names for each in (f"{id}-one", f"{id}-other")]
        for number, (name, record) in enumerate(orders):
            for write in arrivals(writes, chance) if number else writes:
                await self._arrive(name, record, write, now_us)
        first = await self._shown(*orders[0])
        for place in orders[1:]:
            assert await self._shown(*place) == first, place
        for _ in range(SWEEPS):
            self._environment.advance(HOURS * 3_600)
            for name in self.names:
                await (await self._service()).sweep_values(name, 10_000)
        for place in orders:
            assert await self._shown(*place) == first, f"{place} once what is nobody's was swept away"

    async def _arrive(self, name: str, id: str, write: Write, now_us: int) -> None:
        time_us = now_us - write.age_s * 1_000_000
        items = [
            item(key, letter * (LARGE_BYTES if large else 1), "500ms" if late and write.age_s else None)
            for key, (letter, large, late) in write.puts.items()
        ]
        if write.place is not None:
            await self._mutate(name, id, write, items, time_us + write.place)
            return
        kv, token = self._stage.client(KeyValue, name), IdempotencyToken(Instant.from_us(time_us), write.token)
        if write.gone is None:
            await kv.put_items(id=id, items=items, idempotency_token=token)
        else:
            await kv.delete_items(id=id, predicate=write.gone, idempotency_token=token)

    async def _mutate(self, name: str, id: str, write: Write, items: list[Any], time_us: int) -> None:
        """One mutation, as whoever applies sets does it; who is killed then does it once more."""
        service = await self._service()
        _, target = await service.mutations.journal()
        put = PutMutation(namespace=name, id=id, items=items) if items else None
        gone = None if write.gone is None else DeleteMutation(namespace=name, id=id, predicate=write.gone)
        generation = service._serve(name).view.generation  # pyright: ignore[reportPrivateUsage]
        stored = Stored(namespace=name, generation=generation, put=put, delete=gone)
        deadline_ns = self._environment.monotonic_ns() + round(DEADLINE_S * 1e9)
        await target.apply(encode(stored), time_us, f"{write.token}/{write.place}", deadline_ns)

    async def _shown(self, name: str, id: str) -> Shown:
        service = await self._service()
        served = service._serve(name)  # pyright: ignore[reportPrivateUsage]
        page = await served.records.read(served.table, id.encode(), WHOLE, Budget(), self._environment.now_us())
        assert page.resume is None
        found = (await self._stage.client(KeyValue, name).get_items(id=id)).items
        return Shown(
            [(key, _unnamed(cell)) for key, cell in page.rows], page.stamp, [(each.key, each.value) for each in found]
        )

    async def _service(self) -> KeyValueService:
        service = await self._stage.systems.started("kv")
        assert isinstance(service, KeyValueService)
        return service


def _unnamed(cell: Cell) -> bytes:
    """The cell, whichever upload brought its value."""
    manifest = manifest_of(cell)
    return bytes(cell) if manifest is None else bytes(cell).replace(manifest.upload, bytes(UPLOAD_BYTES))
