"""Values that are too large for their rows, through the client, on each embedded engine."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
from tests.data.kv.conftest import ALL, Clock, OpenStage, item, keys, make, served, values
from tests.data.kv.engines import Copied
from tests.data.kv.test_reads import size as size_of

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DataLoss, DeadlineExceeded, PreconditionFailed, TokenReused, TooLarge, Unavailable
from soundstage.core.namespace import LatencyObjective, Objective
from soundstage.core.time import Duration
from soundstage.data.kv.api import Condition, KeyValue, PutItem, Selection
from soundstage.data.kv.chunks import drop_chunks
from soundstage.data.kv.items import manifest_of
from soundstage.data.kv.large_values import WHOLE_MAX_BYTES, check_whole, lost
from soundstage.data.kv.manifest import CALL_BYTES, Manifest
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Batch, Budget, Span
from soundstage.runtime.stage import Stage

MIB = 1 << 20
KNOBS = {"chunk_threshold": "1KiB", "chunk_bytes": "16KiB"}


def big(size: int = 100_000, first: int = 0) -> bytes:
    return b"".join(b"%07d\n" % (first + number) for number in range(size // 8 + 1))[:size]


class Watching(MemoryRecords):
    """Fails, or takes long, at the call on that table of that number, and notes on which tables calls are."""

    at = -1
    error: Exception | None = None
    takes_s = 0.0

    def __init__(self, environment: VirtualEnvironment) -> None:
        super().__init__(environment)
        self.tables_of: list[str] = []
        self.deadlines: list[int | None] = []
        self._clock = environment

    async def apply(self, table: str, *arguments: Any, **named: Any) -> int:
        if table.startswith("kv/"):
            self.tables_of.append(table)
            self.deadlines.append(named.get("deadline_ns"))
            if len(self.tables_of) - 1 == self.at:
                self._clock.advance(self.takes_s)
                if self.error is not None:
                    raise self.error
        return await super().apply(table, *arguments, **named)


@pytest.fixture
async def kv(stage: Stage) -> KeyValue:
    return await make(stage, "people", **KNOBS)


async def manifests(stage: Stage, id: str = "ada") -> dict[bytes, Manifest]:
    namespace = served(stage)
    page = await namespace.records.read_many(namespace.table, [id.encode()], Span(), Budget(), 0)
    found = {key: manifest_of(cell) for key, cell in page[0].rows}
    return {key: manifest for key, manifest in found.items() if manifest is not None}


@pytest.mark.parametrize("size", [1_025, 16 * 1_024, 100_000, 3 * MIB])
async def test_what_is_put_is_read(kv: KeyValue, size: int) -> None:
    await kv.put_items(id="ada", items=[item(b"k", big(size))])
    (found,) = (await kv.get_items(id="ada")).items
    assert (found.value, found.metadata.size) == (big(size), size)


async def test_a_single_item_is_read_by_its_key(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"k", big())])
    for _ in range(2):
        assert values((await kv.get_items(id="ada", predicate=keys(b"k"))).items) == {b"k": big()}


async def test_only_what_is_over_the_threshold_lies_in_chunks(kv: KeyValue, stage: Stage) -> None:
    await kv.put_items(id="ada", items=[item(b"a", bytes(1_024)), item(b"b", bytes(1_025)), item(b"c")])
    assert set(await manifests(stage)) == {b"b"}


async def test_large_and_small_values_are_read_together_in_order(kv: KeyValue) -> None:
    given = {b"a": b"1", b"b": big(first=1), b"c": b"2", b"d": big(first=2)}
    await kv.put_items(id="ada", items=[item(key, value) for key, value in given.items()])
    found = values((await kv.get_items(id="ada")).items)
    assert list(found.items()) == list(given.items())


async def test_records_are_scanned_with_their_large_values(kv: KeyValue) -> None:
    for name in ("ada", "bob"):
        await kv.put_items(id=name, items=[item(b"k", big()), item(b"s", b"small")])
    found = {record.id: values(record.items) async for page in kv.scan_items.pages() for record in page.records}
    assert found == {key: {b"k": big(), b"s": b"small"} for key in ("ada", "bob")}


async def test_many_records_are_read_with_their_large_values(kv: KeyValue) -> None:
    for name in ("ada", "bob"):
        await kv.put_items(id=name, items=[item(b"k", big())])
    reply = await kv.batch_get_items(ids=["ada", "nobody", "bob"])
    assert [values(record.items) for record in reply.records] == [{b"k": big()}, {}, {b"k": big()}]


async def test_values_that_a_selection_leaves_out_are_not_fetched(kv: KeyValue, stage: Stage) -> None:
    await kv.put_items(id="ada", items=[item(b"k", big())])
    before = served(stage).amplification.read
    (found,) = (await kv.get_items(id="ada", selection=Selection(include_values=False))).items
    assert (found.value, found.metadata.size) == (None, 100_000)
    assert served(stage).amplification.read - before < 1_000


@pytest.mark.parametrize(("most", "left_out"), [(99_999, True), (100_000, False)])
async def test_values_too_large_for_a_selection_are_left_out(kv: KeyValue, most: int, left_out: bool) -> None:
    await kv.put_items(id="ada", items=[item(b"k", big())])
    (found,) = (await kv.get_items(id="ada", selection=Selection(max_value_bytes=most))).items
    assert (found.value is None) is left_out


async def test_a_page_holds_no_more_than_its_bytes_but_a_single_item(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"%d" % number, big(10_000)) for number in range(5)])
    pages = [page async for page in kv.get_items.pages(id="ada", selection=Selection(page_size_bytes=25_000))]
    assert [len(page.items) for page in pages] == [2, 2, 1]
    alone = await kv.get_items(id="ada", selection=Selection(page_size_bytes=1))
    assert [len(each.value or b"") for each in alone.items] == [10_000]


async def test_a_scan_holds_no_more_than_a_page_either(kv: KeyValue) -> None:
    for name in ("ada", "bob"):
        await kv.put_items(id=name, items=[item(b"%d" % number, big(10_000)) for number in range(5)])
    selection = Selection(page_size_bytes=25_000)
    found: dict[str, list[bytes]] = {}
    async for page in kv.scan_items.pages(selection=selection):
        assert sum(len(each.value or b"") for record in page.records for each in record.items) <= 25_000
        for record in page.records:
            found.setdefault(record.id, []).extend(each.key for each in record.items)
    assert found == {key: [b"%d" % number for number in range(5)] for key in ("ada", "bob")}


async def put(kv: KeyValue, key: bytes, value: bytes) -> None:
    """As a call where it fits one, else as a stream."""
    if len(value) < 3 * MIB:
        await kv.put_items(id="ada", items=[item(key, value)])
    else:
        await kv.put_value(value, id="ada", key=key)


@pytest.mark.parametrize("call", ["get_items", "scan_items"])
async def test_pages_of_values_up_to_eight_mebibytes_are_the_whole_while_others_are_written(
    stage: Stage, call: str
) -> None:
    chance = Random(8)
    kv = await make(stage, "films")
    lengths = [1, 8 * MIB, MIB, MIB + 1, *(int(2 ** chance.uniform(0, 23)) for _ in range(26))]
    given = {b"%03d" % (2 * number): chance.randbytes(length) for number, length in enumerate(lengths)}
    for key, value in given.items():
        await put(kv, key, value)
        await asyncio.sleep(0)
    others = [b"%03d" % (2 * number + 1) for number in range(len(lengths))]
    walked, written = False, 0

    async def write() -> None:
        nonlocal written
        while not walked:
            await put(kv, chance.choice(others), chance.randbytes(int(2 ** chance.uniform(0, 22.5))))
            await kv.delete_items(id="ada", predicate=keys(chance.choice(others)))
            written += 1
            await asyncio.sleep(0)

    writing = asyncio.ensure_future(write())
    found: list[bytes] = []
    async for page in getattr(kv, call).pages(**({"id": "ada"} if call == "get_items" else {})):
        items = page.items if call == "get_items" else [each for record in page.records for each in record.items]
        assert size_of(items) <= 2 * MIB or len(items) == 1
        assert all(each.value == given.get(each.key, each.value) for each in items)
        found += [each.key for each in items]
        await asyncio.sleep(0)
    walked = True
    await writing
    assert written > 3
    assert found == sorted(set(found))
    assert [key for key in found if key in given] == list(given)


async def test_an_old_value_is_replaced_whole(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"k", big())])
    await kv.put_items(id="ada", items=[item(b"k", big(50_000, 7))])
    assert values((await kv.get_items(id="ada")).items) == {b"k": big(50_000, 7)}


async def test_a_late_write_of_an_earlier_time_stays_hidden(kv: KeyValue, clock: Clock) -> None:
    early = clock.token(-1_000)
    await kv.put_items(id="ada", items=[item(b"k", b"now")])
    await kv.put_items(id="ada", items=[item(b"k", big())], idempotency_token=early)
    assert values((await kv.get_items(id="ada")).items) == {b"k": b"now"}


async def test_the_same_token_twice_is_one_write(kv: KeyValue, clock: Clock) -> None:
    token = clock.token()
    first = await kv.put_items(id="ada", items=[item(b"k", big())], idempotency_token=token)
    assert await kv.put_items(id="ada", items=[item(b"k", big())], idempotency_token=token) == first
    assert values((await kv.get_items(id="ada")).items) == {b"k": big()}


async def test_a_large_value_expires(kv: KeyValue, environment: VirtualEnvironment) -> None:
    await kv.put_items(id="ada", items=[item(b"k", big(), ttl="10s")])
    (found,) = (await kv.get_items(id="ada")).items
    assert found.metadata.expires_at is not None
    environment.advance(10)
    assert (await kv.get_items(id="ada")).items == []


async def test_a_threshold_that_changes_does_not_change_what_is_stored(stage: Stage, kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"k", big())])
    await make(stage, "people", **{**KNOBS, "chunk_threshold": "1MiB", "chunk_bytes": "1MiB"})
    assert values((await kv.get_items(id="ada")).items) == {b"k": big()}


async def test_everything_is_there_after_a_restart(open_stage: OpenStage) -> None:
    stage = await open_stage("rocksdb")
    kv = await make(stage, "people", **KNOBS)
    await kv.put_items(id="ada", items=[item(b"k", big())])
    await stage.stop()
    kv = (await stage.start()).client(KeyValue, "people")
    assert values((await kv.get_items(id="ada")).items) == {b"k": big()}


class TestConditions:
    async def test_a_condition_that_fails_leaves_nothing_visible(self, kv: KeyValue) -> None:
        await kv.put_items(id="ada", items=[item(b"k", b"first")])
        with pytest.raises(PreconditionFailed):
            await kv.put_items(id="ada", items=[item(b"k", big())], condition=Condition(key=b"k", absent=True))
        assert values((await kv.get_items(id="ada")).items) == {b"k": b"first"}

    async def test_a_repetition_is_known_by_what_was_asked_for(self, kv: KeyValue, clock: Clock) -> None:
        token, absent = clock.token(), Condition(key=b"k", absent=True)
        first = await kv.put_items(id="ada", items=[item(b"k", big())], condition=absent, idempotency_token=token)
        again = await kv.put_items(id="ada", items=[item(b"k", big())], condition=absent, idempotency_token=token)
        assert again == first

    async def test_it_is_known_where_the_threshold_is_another_meanwhile(
        self, kv: KeyValue, stage: Stage, clock: Clock
    ) -> None:
        token, absent = clock.token(), Condition(key=b"k", absent=True)
        first = await kv.put_items(id="ada", items=[item(b"k", big())], condition=absent, idempotency_token=token)
        await make(stage, "people", chunk_threshold="1MiB")
        again = await kv.put_items(id="ada", items=[item(b"k", big())], condition=absent, idempotency_token=token)
        assert again == first

    async def test_another_value_under_the_token_is_refused(self, kv: KeyValue, clock: Clock) -> None:
        token, absent = clock.token(), Condition(key=b"k", absent=True)
        await kv.put_items(id="ada", items=[item(b"k", big())], condition=absent, idempotency_token=token)
        with pytest.raises(TokenReused):
            await kv.put_items(id="ada", items=[item(b"k", big(9_000))], condition=absent, idempotency_token=token)


class TestFaults:
    @pytest.fixture
    def engine(self, environment: VirtualEnvironment) -> Watching:
        return Watching(environment)

    @pytest.fixture
    async def kv(self, open_stage: OpenStage, engine: Watching) -> KeyValue:
        kv = await make(await open_stage(engine), "people", **KNOBS)
        await kv.put_items(id="ada", items=[item(b"k", b"before")])
        engine.tables_of.clear()
        return kv

    async def test_the_row_comes_last_and_the_entry_first(self, kv: KeyValue, engine: Watching) -> None:
        await kv.put_items(id="ada", items=[item(b"k", big(2 * CALL_BYTES))])
        assert engine.tables_of == ["kv/people/values"] * 3 + ["kv/people"]

    @pytest.mark.parametrize("step", range(4))
    async def test_whichever_step_fails_the_old_value_is_served(
        self, kv: KeyValue, engine: Watching, step: int
    ) -> None:
        engine.at, engine.error = step, Unavailable("the store is away", outcome="unknown")
        with pytest.raises(Unavailable):
            await kv.put_items(id="ada", items=[item(b"k", big(2 * CALL_BYTES))])
        assert values((await kv.get_items(id="ada")).items) == {b"k": b"before"}

    @pytest.mark.parametrize(("step", "outcome"), [(0, "not_applied"), (2, "not_applied"), (3, "unknown")])
    async def test_before_the_row_nothing_is_applied(
        self, kv: KeyValue, engine: Watching, clock: Clock, step: int, outcome: str
    ) -> None:
        engine.at, engine.error = step, Unavailable("the store is away", outcome="unknown")
        with pytest.raises(Unavailable) as failed:
            await kv.put_items(id="ada", items=[item(b"k", big(2 * CALL_BYTES))], idempotency_token=clock.token())
        assert (failed.value.outcome, failed.value.retryable) == (outcome, True)

    async def test_a_row_that_would_come_too_late_does_not_come(self, kv: KeyValue, engine: Watching) -> None:
        engine.at, engine.takes_s = 1, 31
        with pytest.raises(DeadlineExceeded, match="took too long"):
            await kv.put_items(id="ada", items=[item(b"k", big(2 * CALL_BYTES))])
        assert engine.tables_of.count("kv/people") == 0

    async def test_every_write_of_it_ends_by_the_deadline(self, kv: KeyValue, engine: Watching) -> None:
        await kv.put_items(id="ada", items=[item(b"k", big(9_000))])
        engine.deadlines.clear()
        await kv.with_options(deadline=5.0).put_items(id="ada", items=[item(b"k", big(2 * CALL_BYTES))])
        assert len(engine.deadlines) == 5
        assert None not in engine.deadlines

    async def test_chunks_that_are_lost_are_told_of(
        self, kv: KeyValue, engine: Watching, environment: VirtualEnvironment
    ) -> None:
        await kv.put_items(id="ada", items=[item(b"k", big())])
        await kv.get_items(id="ada")
        await lose(engine, environment)
        with pytest.raises(DataLoss, match="missing or damaged"):
            await kv.get_items(id="ada")


async def lose(engine: MemoryRecords, environment: VirtualEnvironment) -> None:
    """The chunks of all values of the namespace are gone."""
    walked = await engine.walk("kv/people/values", 0, 1, None, Budget(), environment.now_us())
    for partition, rows in walked.partitions:
        for key, cell in rows:
            if partition.startswith(b"c"):
                gone = version.delete(version.time_us(cell) + 1, "gone")
                await engine.apply("kv/people/values", partition, Batch(cells=[(key, gone)]))


async def test_a_value_that_was_replaced_and_dropped_while_it_was_read_is_read_again(
    plain_stage: Stage, environment: VirtualEnvironment
) -> None:
    kv = await make(plain_stage, "people", **KNOBS)
    await kv.put_items(id="ada", items=[item(b"k", big())])
    (manifest,) = (await manifests(plain_stage)).values()
    await kv.put_items(id="ada", items=[item(b"k", big(50_000, 7))])
    namespace = served(plain_stage)
    await drop_chunks(namespace, manifest.upload, 0, environment)
    error = await lost(namespace, b"ada", b"k", manifest, environment.now_us())
    assert (type(error), error.retryable) == (Unavailable, True)


@pytest.mark.parametrize("knobs", [{"consistency": "eventual"}, {"consistency_scope": "local"}])
async def test_a_copy_that_may_be_behind_is_not_believed_that_chunks_are_lost(
    open_stage: OpenStage, environment: VirtualEnvironment, knobs: dict[str, str]
) -> None:
    stage = await open_stage(Copied(environment))
    kv = await make(stage, "people", conditional_writes=False, **knobs, **KNOBS)
    await kv.put_items(id="ada", items=[item(b"k", big())])
    (manifest,) = (await manifests(stage)).values()
    error = await lost(served(stage), b"ada", b"k", manifest, environment.now_us())
    assert (type(error), error.retryable) == (Unavailable, True)


async def test_an_eventual_namespace_has_large_values_too(plain_stage: Stage) -> None:
    kv = await make(plain_stage, "people", consistency="eventual", conditional_writes=False, **KNOBS)
    await kv.put_items(id="ada", items=[item(b"k", big())])
    assert values((await kv.get_items(id="ada")).items) == {b"k": big()}


def test_a_reply_holds_no_value_that_memory_might_not() -> None:
    check_whole(Manifest(b"", WHOLE_MAX_BYTES, MIB, b""))
    with pytest.raises(TooLarge, match="a reply holds values of up to") as refused:
        check_whole(Manifest(b"", WHOLE_MAX_BYTES + 1, MIB, b""))
    assert "max_value_bytes" in (refused.value.hint or "")


async def test_a_page_whose_time_is_over_ends_before_the_next_large_value(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    class SlowChunks(MemoryRecords):
        async def get(self, table: str, *arguments: Any, **named: Any) -> Any:
            if table.endswith("/values"):
                environment.advance(0.04)
            return await super().get(table, *arguments, **named)

    slos = {"read": Objective(latency=LatencyObjective(max=Duration.parse("100ms")))}
    stage = await open_stage(SlowChunks(environment))
    kv = await make(stage, "people", slos=slos, **KNOBS)
    await kv.put_items(id="ada", items=[item(b"%d" % number, big(10_000)) for number in range(5)])
    pages = [page async for page in kv.get_items.pages(id="ada")]
    assert len(pages) > 1
    assert [each.key for page in pages for each in page.items] == [b"%d" % number for number in range(5)]
    assert all(each.value == big(10_000) for page in pages for each in page.items)


async def test_a_put_too_large_for_one_call_stays_so(kv: KeyValue) -> None:
    with pytest.raises(TooLarge):
        await kv.put_items(id="ada", items=[PutItem(key=b"k", value=bytes(4 * MIB))])


async def test_a_deleted_record_reads_as_empty_at_once(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"k", big())])
    await kv.delete_items(id="ada", predicate=ALL)
    assert (await kv.get_items(id="ada")).items == []
