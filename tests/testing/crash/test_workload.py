from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import SoundstageError, Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.data.kv.api import KeyValue, MatchAll, MatchKeys, MatchRange, Predicate, PutItem
from soundstage.runtime.namespaces.api import Namespaces, NamespaceSpec
from soundstage.runtime.stage import Stage
from soundstage.testing.crash.traffic import Broken
from soundstage.testing.crash.workload import HEAD, Call, Counter, Workload, Writer

CLOCK = TokenClock(SystemEnvironment())


@pytest.fixture
async def kv() -> AsyncIterator[KeyValue]:
    """A store in memory; whoever loses something here does so on purpose."""
    async with Stage.open(data="memory:") as stage:
        spec = NamespaceSpec(name="crash", abstraction="kv", config={"conditional_writes": True})
        await stage.client(Namespaces).put(namespace=spec)
        yield stage.client(KeyValue, "crash")


@pytest.fixture
def writer() -> Writer:
    return Writer(0, Random(7), CLOCK)


async def write(writer: Writer, kv: KeyValue, calls: int = 40) -> None:
    for _ in range(calls):
        await writer.write(kv)


async def delete(kv: KeyValue, record: str, *keys: bytes) -> None:
    predicate = Predicate(match_keys=MatchKeys(keys=list(keys))) if keys else Predicate(match_all=MatchAll())
    await kv.delete_items(id=record, predicate=predicate)


def some_key(writer: Writer) -> bytes:
    return next(key for key in writer.expected[writer.id] if key != HEAD)


class Gone:
    """A server that has died: whether it applied the last call first is up to the test."""

    def __init__(self, kv: KeyValue, *, applies: bool) -> None:
        self.kv = kv
        self.applies = applies

    async def put_items(self, **fields: object) -> None:
        await self._answer(self.kv.put_items, fields)

    async def delete_items(self, **fields: object) -> None:
        await self._answer(self.kv.delete_items, fields)

    def get_items(self, **fields: Any) -> object:
        return self.kv.get_items(**fields)

    async def _answer(self, call: Any, fields: dict[str, object]) -> None:
        if self.applies:
            await call(**fields)
        raise Unavailable("the server is gone")


async def die(writer: Writer | Counter, kv: KeyValue, *, applies: bool) -> None:
    """The next call is in doubt."""
    gone: Any = Gone(kv, applies=applies)
    with pytest.raises(Unavailable):
        await (writer.increment(gone) if isinstance(writer, Counter) else writer.write(gone))


# -- what a writer holds a store to


async def test_a_store_that_keeps_everything_passes(writer: Writer, kv: KeyValue) -> None:
    await write(writer, kv, 200)
    await writer.verify(kv)
    assert writer.acknowledged == 200


async def test_writers_put_and_delete_items_ranges_and_records(writer: Writer, kv: KeyValue) -> None:
    kinds = {"puts": 0, "keys": 0, "range": 0, "all": 0, "large": 0}
    for _ in range(300):
        call = writer._next()
        where = call.deleted
        kinds["puts"] += where is None
        kinds["large"] += len(call.puts) > 50
        kinds["keys"] += where is not None and where.match_keys is not None
        kinds["range"] += where is not None and where.match_range is not None
        kinds["all"] += where is not None and where.match_all is not None
    assert min(kinds.values()) > 3


async def test_what_is_gone_is_found(writer: Writer, kv: KeyValue) -> None:
    await write(writer, kv)
    await delete(kv, writer.id, some_key(writer))
    with pytest.raises(Broken, match="writer-0: 1 items are gone, first call/"):
        await writer.verify(kv)


async def test_what_is_too_much_is_found(writer: Writer, kv: KeyValue) -> None:
    await write(writer, kv)
    await kv.put_items(id=writer.id, items=[PutItem(key=b"call/x", value=b"back from the dead")])
    with pytest.raises(Broken, match="1 items are too many, first call/x"):
        await writer.verify(kv)


async def test_what_was_changed_is_found(writer: Writer, kv: KeyValue) -> None:
    await write(writer, kv)
    await kv.put_items(id=writer.id, items=[PutItem(key=some_key(writer), value=b"another")])
    with pytest.raises(Broken, match="1 items are gone"):
        await writer.verify(kv)


async def test_a_record_that_is_gone_whole_is_found(writer: Writer, kv: KeyValue) -> None:
    await write(writer, kv)
    await delete(kv, writer.id)
    with pytest.raises(Broken):
        await writer.verify(kv)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("applies", [False, True])
async def test_the_call_in_doubt_may_have_happened_or_not(kv: KeyValue, seed: int, applies: bool) -> None:
    writer = Writer(0, Random(seed), CLOCK)
    await write(writer, kv, 10)
    await die(writer, kv, applies=applies)
    assert writer.doubt is not None
    await writer.verify(kv)
    assert writer.doubt is None
    await write(writer, kv, 10)
    await writer.verify(kv)


async def test_a_call_in_doubt_that_is_half_there_is_found(kv: KeyValue) -> None:
    writer = Writer(0, Random(3), CLOCK)
    await write(writer, kv, 5)
    call = writer.doubt = Call(99, writer.id, CLOCK.token(), {b"call/99/a": b"1", b"call/99/b": b"2"})
    await kv.put_items(id=writer.id, items=[PutItem(key=b"call/99/a", value=b"1")], idempotency_token=call.token)
    # This generator does not send the call again first.
    writer._random = Random(2)
    with pytest.raises(Broken, match=r"without the call in doubt 1 items are too many.*with it 1 items are gone"):
        await writer.verify(kv)


async def test_what_a_reader_was_shown_may_not_go_back(writer: Writer, kv: KeyValue) -> None:
    await write(writer, kv)
    await writer.watch(kv)
    shown = writer.shown
    assert shown > 0
    await kv.put_items(id=writer.id, items=[PutItem(key=HEAD, value=b"0")])
    with pytest.raises(Broken, match=f"the head {shown} was shown, and then 0"):
        await writer.watch(kv)


async def test_a_call_in_doubt_that_a_reader_was_shown_must_have_happened(kv: KeyValue) -> None:
    writer = Writer(0, Random(2), CLOCK)
    await write(writer, kv, 5)
    writer.shown = writer.sent + 1
    with pytest.raises(Broken, match="was shown, and then"):
        await writer.verify(kv)


@pytest.mark.parametrize(
    ("where", "left"),
    [
        (Predicate(match_keys=MatchKeys(keys=[b"b"])), [b"a", b"c"]),
        (Predicate(match_range=MatchRange(start=b"a", end=b"c")), [b"c"]),
        (Predicate(match_range=MatchRange()), []),
        (Predicate(match_all=MatchAll()), []),
    ],
)
def test_the_model_knows_what_a_delete_leaves(where: Predicate, left: list[bytes]) -> None:
    call = Call(1, "r", CLOCK.token(), deleted=where)
    assert list(call.applied({b"a": b"", b"b": b"", b"c": b""})) == left


# -- the counter


async def test_a_counter_counts_its_successes(kv: KeyValue) -> None:
    counter = Counter(CLOCK)
    for _ in range(20):
        await counter.increment(kv)
    await counter.verify(kv)
    assert (counter.raised, counter.acknowledged, counter.in_doubt) == (20, 20, 0)


@pytest.mark.parametrize("applies", [False, True])
async def test_an_increment_in_doubt_is_sent_again_and_counts_once(kv: KeyValue, applies: bool) -> None:
    counter = Counter(CLOCK)
    await counter.increment(kv)
    await die(counter, kv, applies=applies)
    assert counter.in_doubt == 1
    await counter.verify(kv)
    assert (counter.raised, counter.in_doubt) == (2, 0)


async def test_of_two_increments_in_doubt_from_the_same_number_one_counts(kv: KeyValue) -> None:
    counter = Counter(CLOCK)
    for _ in range(2):
        await die(counter, kv, applies=False)
    await counter.verify(kv)
    assert counter.raised == 1


async def test_an_increment_that_is_lost_is_found(kv: KeyValue) -> None:
    counter = Counter(CLOCK)
    for _ in range(3):
        await counter.increment(kv)
    await kv.put_items(id=counter.id, items=[PutItem(key=counter.key, value=b"2")])
    with pytest.raises(Broken, match="the counter is 2 after 3 increments"):
        await counter.verify(kv)


async def test_an_increment_that_counts_twice_is_found(kv: KeyValue) -> None:
    counter = Counter(CLOCK)
    await counter.increment(kv)
    await kv.put_items(id=counter.id, items=[PutItem(key=counter.key, value=b"2")])
    with pytest.raises(Broken, match="the counter is 2 after 1 increments"):
        await counter.verify(kv)


# -- all together


def test_the_same_seed_writes_the_same(writer: Writer) -> None:
    one, other, another = (Workload(2, seed) for seed in (5, 5, 6))
    calls = [
        [(call.record, call.puts) for call in (each.writers[1]._next() for _ in range(9))]
        for each in (one, other, another)
    ]
    assert calls[0] == calls[1] != calls[2]


def test_what_is_acknowledged_and_in_doubt_is_counted_over_all() -> None:
    workload = Workload(3)
    workload.writers[0].acknowledged = 4
    workload.counter.acknowledged = 1
    workload.writers[2].doubt = workload.writers[2]._next()
    assert (workload.acknowledged, workload.in_doubt) == (5, 1)


async def test_a_server_that_cannot_answer_for_what_it_acknowledged_has_broken_its_promise() -> None:
    workload = Workload(1)
    with pytest.raises(Broken, match="what was acknowledged cannot be read") as caught:
        await workload.verify("http://127.0.0.1:9")
    assert isinstance(caught.value.__cause__, SoundstageError)
