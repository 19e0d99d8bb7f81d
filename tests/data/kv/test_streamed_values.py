"""Values as streams, through the client, on each embedded engine."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.data.kv.conftest import ALL, Clock, OpenStage, item, keys, make, served, values
from tests.data.kv.test_large_values import KNOBS, MIB, Watching, big, manifests
from xxhash import xxh3_128_hexdigest

from soundstage.core import version
from soundstage.core.call import Call
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import (
    DataLoss,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    TokenDrift,
    TokenReused,
    TooLarge,
    Unavailable,
)
from soundstage.core.message import Duration, IdempotencyToken, Instant
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.streaming import Body
from soundstage.data.kv.api import Condition, KeyValue, PutValue
from soundstage.data.kv.chunks import drop_chunks
from soundstage.data.kv.manifest import chunk_cell
from soundstage.data.kv.service import KeyValueService
from soundstage.data.kv.uploads import SHARDS
from soundstage.engines.records.port import ALL as EVERYTHING
from soundstage.engines.records.port import Batch, Budget, Span
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

SECOND_US = 1_000_000


@pytest.fixture
async def kv(stage: Stage) -> KeyValue:
    return await make(stage, "people", **KNOBS)


async def got(kv: KeyValue, key: bytes = b"k", **range: Any) -> bytes:
    async with kv.get_value(id="ada", key=key, **range) as value:
        return await value.read()


def conditional(clock: Clock) -> dict[str, Any]:
    """Where a value goes, under a token, if nothing is there."""
    absent = Condition(key=b"k", absent=True)
    return {"id": "ada", "key": b"k", "idempotency_token": clock.token(), "condition": absent}


async def received_before(kv: KeyValue, error: type[Exception]) -> bytes:
    """What comes of a value before its reading fails with `error`."""
    received: list[bytes] = []
    try:
        async with kv.get_value(id="ada", key=b"k") as value:
            async for chunk in value:
                received.append(chunk)
    except error:
        return b"".join(received)
    raise AssertionError("nothing failed")


async def parts(content: bytes, size: int = 5_000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def broken(content: bytes, error: BaseException) -> AsyncIterator[bytes]:
    yield content
    raise error


async def entries(stage: Stage) -> int:
    """How many uploads the register has."""
    namespace = served(stage)
    found = 0
    for shard in range(SHARDS):
        page = await namespace.records.read(
            namespace.values_table, b"s" + bytes([shard]), EVERYTHING, Budget(), stage.environment.now_us()
        )
        found += len(page.rows)
    return found


async def stored_chunks(stage: Stage) -> int:
    """How many chunks the namespace has."""
    namespace = served(stage)
    found, position = 0, None
    while True:
        page = await namespace.records.walk(
            namespace.values_table, 0, 1, position, Budget(), stage.environment.now_us()
        )
        found += sum(len(rows) for partition, rows in page.partitions if partition[:1] == b"c")
        position = page.position
        if position is None:
            return found


def service_of(stage: Stage) -> KeyValueService:
    service = stage.systems.service("kv")
    assert isinstance(service, KeyValueService)
    return service


async def swept(stage: Stage, environment: VirtualEnvironment, seconds: float) -> int:
    """How many uploads a round drops that is held after so long."""
    environment.advance(seconds)
    return (await service_of(stage).sweep_values("people", 1_000)).dropped


class TestPutAndGet:
    @pytest.mark.parametrize("size", [0, 1, 1_024, 1_025, 16 * 1_024, 100_000, 600_000])
    async def test_what_is_put_is_read(self, kv: KeyValue, size: int) -> None:
        reply = await kv.put_value(parts(big(size)), id="ada", key=b"k")
        assert (reply.size, reply.checksum) == (size, xxh3_128_hexdigest(big(size)))
        async with kv.get_value(id="ada", key=b"k") as value:
            assert (value.info.size, value.info.checksum, value.size) == (size, reply.checksum, size)
            assert value.info.token == reply.idempotency_token
            assert await value.read() == big(size)

    async def test_only_what_is_over_the_threshold_lies_in_chunks(self, kv: KeyValue, stage: Stage) -> None:
        await kv.put_value(bytes(1_024), id="ada", key=b"small")
        await kv.put_value(bytes(1_025), id="ada", key=b"large")
        assert set(await manifests(stage)) == {b"large"}

    async def test_items_and_values_are_the_same_thing(self, kv: KeyValue) -> None:
        await kv.put_items(id="ada", items=[item(b"a", big(5_000)), item(b"b", b"1")])
        await kv.put_value(big(6_000), id="ada", key=b"c")
        assert values((await kv.get_items(id="ada")).items) == {b"a": big(5_000), b"b": b"1", b"c": big(6_000)}
        assert [await got(kv, key) for key in (b"a", b"b", b"c")] == [big(5_000), b"1", big(6_000)]

    async def test_a_large_value_takes_the_place_of_a_small_one_and_the_reverse(self, kv: KeyValue) -> None:
        for size in (10, 50_000, 20, 60_000):
            await kv.put_value(big(size), id="ada", key=b"k")
            assert await got(kv) == big(size)

    @pytest.mark.parametrize("size", [1_000, 200_000])
    async def test_any_range_is_read(self, kv: KeyValue, size: int) -> None:
        content, choice = big(size), random.Random(7)
        await kv.put_value(content, id="ada", key=b"k")
        edges = [(0, 1), (0, 16_384), (16_383, 16_385), (size - 1, size), (0, size), (size, None), (-7, None)]
        edges = [(start, end) for start, end in edges if start <= size]
        for start, end in [*edges, *((choice.randrange(size), choice.randrange(size)) for _ in range(20))]:
            if end is not None and end < start:
                start, end = end, start
            assert await got(kv, start=start, end=end) == content[start:end]

    @pytest.mark.parametrize(("start", "end", "field"), [(11, None, "start"), (3, 2, "end"), (20, 30, "start")])
    async def test_a_range_that_is_none_is_refused(self, kv: KeyValue, start: int, end: int | None, field: str) -> None:
        await kv.put_value(bytes(10), id="ada", key=b"k")
        with pytest.raises(InvalidArgument) as refused:
            await got(kv, start=start, end=end)
        assert refused.value.field == field

    async def test_a_value_that_is_not_there_is_not_found(self, kv: KeyValue) -> None:
        with pytest.raises(NotFound):
            await got(kv)

    @pytest.mark.parametrize("size", [10, 50_000])
    async def test_a_value_expires_with_its_item(
        self, kv: KeyValue, environment: VirtualEnvironment, size: int
    ) -> None:
        await kv.put_value(big(size), id="ada", key=b"k", ttl=Duration.parse("1m"))
        async with kv.get_value(id="ada", key=b"k") as value:
            assert value.info.expires_at == value.info.token.generation_time + 60_000_000_000
        environment.advance(61)
        with pytest.raises(NotFound):
            await got(kv)

    async def test_a_read_that_needs_a_later_write_is_refused(self, kv: KeyValue, clock: Clock) -> None:
        await kv.put_value(b"1", id="ada", key=b"k")
        with pytest.raises(Unavailable):
            await got(kv, min_version=clock.token(at=SECOND_US))

    @pytest.mark.parametrize("size", [10, 50_000])
    async def test_a_reader_goes_on_with_the_value_that_it_began(self, kv: KeyValue, size: int) -> None:
        await kv.put_value(big(size), id="ada", key=b"k")
        async with kv.get_value(id="ada", key=b"k") as value:
            chunks = value.__aiter__()
            first = await anext(chunks)
            await kv.put_value(big(size, first=9), id="ada", key=b"k")
            assert first + b"".join([chunk async for chunk in chunks]) == big(size)
        assert await got(kv) == big(size, first=9)


class TestRefusals:
    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"id": ""}, "id"),
            ({"id": "x" * 1_025}, "id"),
            ({"key": bytes(4_097)}, "key"),
            ({"ttl": Duration.parse("1us")}, "ttl"),
        ],
    )
    async def test_what_no_put_takes_is_not_taken(self, kv: KeyValue, given: dict[str, Any], field: str) -> None:
        place: dict[str, Any] = {"id": "ada", "key": b"k", **given}
        with pytest.raises(SoundstageError) as refused:
            await kv.put_value(b"v", **place)
        assert refused.value.field == field

    async def test_an_unknown_namespace_is_told(self, stage: Stage) -> None:
        with pytest.raises(NotFound):
            await stage.client(KeyValue, "nobody").put_value(b"v", id="a", key=b"k")

    @pytest.mark.parametrize("announced", [True, False])
    async def test_more_than_the_namespace_takes_is_too_large(self, stage: Stage, announced: bool) -> None:
        kv = await make(stage, "people", **KNOBS, value_max="20KiB")
        content = big(20 * 1_024 + 1)
        with pytest.raises(TooLarge, match="20480 bytes"):
            await kv.put_value(content if announced else parts(content), id="ada", key=b"k")
        assert (await kv.count_items(id="ada")).count == 0

    async def test_an_eventual_namespace_takes_what_fits_no_row(self, plain_stage: Stage) -> None:
        kv = await make(plain_stage, "people", **KNOBS, consistency="eventual", conditional_writes=False)
        await kv.put_value(bytes(1_025), id="ada", key=b"k")
        assert await got(kv) == bytes(1_025)

    async def test_a_token_that_is_too_old_is_refused_before_anything_is_read(self, kv: KeyValue, clock: Clock) -> None:
        with pytest.raises(TokenDrift):
            await kv.put_value(
                broken(b"", AssertionError()), id="ada", key=b"k", idempotency_token=clock.token(at=-601 * SECOND_US)
            )


class TestConditions:
    @pytest.mark.parametrize("size", [10, 50_000])
    async def test_it_is_put_only_where_nothing_is(self, kv: KeyValue, stage: Stage, size: int) -> None:
        absent = Condition(key=b"k", absent=True)
        await kv.put_value(big(size), id="ada", key=b"k", condition=absent)
        with pytest.raises(PreconditionFailed):
            await kv.put_value(big(size, first=9), id="ada", key=b"k", condition=absent)
        assert await got(kv) == big(size)

    async def test_it_is_put_only_over_what_was_read(self, kv: KeyValue) -> None:
        first = await kv.put_value(big(), id="ada", key=b"k")
        wanted = Condition(key=b"k", token=first.idempotency_token)
        await kv.put_value(big(first=1), id="ada", key=b"k", condition=wanted)
        with pytest.raises(PreconditionFailed):
            await kv.put_value(big(first=2), id="ada", key=b"k", condition=wanted)
        assert await got(kv) == big(first=1)

    async def test_chunks_of_a_refused_value_go_with_the_next_round(
        self, kv: KeyValue, stage: Stage, environment: VirtualEnvironment
    ) -> None:
        async def overtaken() -> AsyncIterator[bytes]:
            yield big()
            await kv.put_value(b"1", id="ada", key=b"k")

        with pytest.raises(PreconditionFailed):
            await kv.put_value(overtaken(), id="ada", key=b"k", condition=Condition(key=b"k", absent=True))
        assert await stored_chunks(stage) == 7
        assert await swept(stage, environment, 1) == 1
        assert (await stored_chunks(stage), await entries(stage)) == (0, 0)

    async def test_one_that_cannot_be_asked_for_is_refused_before_anything_is_read(self, plain_stage: Stage) -> None:
        kv = await make(plain_stage, "people", conditional_writes=False)
        read: list[bytes] = []

        async def source() -> AsyncIterator[bytes]:
            read.append(b"x")
            yield b"x"

        with pytest.raises(InvalidArgument, match="conditional writes"):
            await kv.put_value(source(), id="ada", key=b"k", condition=Condition(key=b"k", absent=True))
        assert read == []

    @pytest.mark.parametrize("given_token", [False, True])
    @pytest.mark.parametrize(
        "condition",
        [
            Condition(key=b"k", absent=True),
            Condition(absent=True),
            [Condition(key=b"other", absent=True), Condition(key=b"k", absent=True)],
            Condition(key=b"k", token=IdempotencyToken(Instant(7_000), "nobody")),
            Condition(token=IdempotencyToken(Instant(7_000), "nobody")),
        ],
    )
    async def test_one_that_fails_already_is_refused_before_anything_is_read(
        self, kv: KeyValue, stage: Stage, clock: Clock, condition: Any, given_token: bool
    ) -> None:
        await kv.put_value(b"1", id="ada", key=b"k")
        request = PutValue(
            namespace="people",
            id="ada",
            key=b"k",
            condition=condition,
            idempotency_token=clock.token() if given_token else None,
        )
        body = Body(parts(big()), None)
        with pytest.raises(PreconditionFailed) as refused:
            await service_of(stage).put_value(Call(), request, body)
        assert (refused.value.field, body.begun, await stored_chunks(stage)) == ("condition", False, 0)

    async def test_nothing_is_written_to_find_that_out(self, kv: KeyValue, clock: Clock) -> None:
        await kv.put_value(b"1", id="ada", key=b"k")
        given = conditional(clock)
        with pytest.raises(PreconditionFailed):
            await kv.put_value(big(), **given)
        await kv.delete_items(id="ada", predicate=keys(b"k"))
        given["idempotency_token"] = clock.token()
        await kv.put_value(big(), **given)
        assert (await got(kv), (await kv.count_items(id="ada")).count) == (big(), 1)

    async def test_an_expired_item_keeps_no_value_away(self, kv: KeyValue, environment: VirtualEnvironment) -> None:
        await kv.put_value(b"1", id="ada", key=b"k", ttl=Duration.parse("1s"))
        environment.advance(1)
        await kv.put_value(big(), id="ada", key=b"k", condition=Condition(absent=True))
        assert await got(kv) == big()

    async def test_a_repetition_is_known_even_after_later_writes(self, kv: KeyValue, clock: Clock) -> None:
        given = conditional(clock)
        first = await kv.put_value(big(), **given)
        await kv.put_value(b"later", id="ada", key=b"k")
        assert await kv.put_value(big(), **given) == first
        assert await got(kv) == b"later"

    async def test_another_value_under_the_token_is_refused(self, kv: KeyValue, clock: Clock) -> None:
        given = conditional(clock)
        await kv.put_value(big(), **given)
        with pytest.raises(TokenReused):
            await kv.put_value(big(first=1), **given)
        assert await got(kv) == big()


class TestRepetition:
    @pytest.mark.parametrize("size", [10, 50_000])
    async def test_a_repetition_changes_nothing_and_stores_nothing(
        self, kv: KeyValue, stage: Stage, clock: Clock, size: int
    ) -> None:
        token = clock.token()
        first = await kv.put_value(big(size), id="ada", key=b"k", idempotency_token=token)
        before = await stored_chunks(stage)
        assert await kv.put_value(big(size), id="ada", key=b"k", idempotency_token=token) == first
        assert await stored_chunks(stage) == before

    @pytest.mark.parametrize("size", [10, 50_000])
    @pytest.mark.parametrize(("first", "ttl"), [(1, None), (0, "1h")], ids=["another value", "another time to live"])
    async def test_something_else_under_the_token_is_refused(
        self, kv: KeyValue, clock: Clock, size: int, first: int, ttl: str | None
    ) -> None:
        token = clock.token()
        await kv.put_value(big(size), id="ada", key=b"k", idempotency_token=token)
        with pytest.raises(TokenReused):
            await kv.put_value(
                big(size, first=first),
                id="ada",
                key=b"k",
                idempotency_token=token,
                ttl=None if ttl is None else Duration.parse(ttl),
            )
        assert await got(kv) == big(size)

    async def test_a_write_that_lost_to_a_later_one_may_be_repeated(self, kv: KeyValue, clock: Clock) -> None:
        token = clock.token()
        await kv.put_value(big(), id="ada", key=b"k", idempotency_token=token)
        await kv.put_value(b"later", id="ada", key=b"k", idempotency_token=clock.token(at=1))
        await kv.put_value(big(), id="ada", key=b"k", idempotency_token=token)
        assert await got(kv) == b"later"

    async def test_of_two_values_under_one_token_that_race_one_is_seen_whole(self, kv: KeyValue, clock: Clock) -> None:
        token = clock.token()
        both = [big(40_000), big(40_000, first=9)]
        await asyncio.gather(
            *(kv.put_value(parts(each), id="ada", key=b"k", idempotency_token=token) for each in both),
            return_exceptions=True,
        )
        assert await got(kv) in both


class TestBrokenStreams:
    async def test_nothing_is_seen_of_a_stream_that_breaks_off(
        self, kv: KeyValue, stage: Stage, environment: VirtualEnvironment
    ) -> None:
        await kv.put_value(b"old", id="ada", key=b"k")
        with pytest.raises(Unavailable):
            await kv.put_value(broken(bytes(6 * MIB), Unavailable("gone")), id="ada", key=b"k")
        assert await got(kv) == b"old"
        assert await stored_chunks(stage) > 0
        assert await swept(stage, environment, 1) == 1
        assert (await stored_chunks(stage), await entries(stage)) == (0, 0)

    async def test_nothing_is_left_of_a_put_that_is_cancelled(
        self, kv: KeyValue, stage: Stage, environment: VirtualEnvironment
    ) -> None:
        begun = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield bytes(3 * MIB)
            begun.set()
            await asyncio.Event().wait()

        putting = asyncio.ensure_future(kv.put_value(endless(), id="ada", key=b"k"))
        await begun.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        await swept(stage, environment, 1)
        assert (await stored_chunks(stage), await entries(stage)) == (0, 0)

    async def test_a_stream_of_another_length_than_announced_is_refused(self, kv: KeyValue) -> None:
        class Liar:
            """Says that it has ten bytes."""

            def __init__(self) -> None:
                self.left = [b"12345"]

            def read(self, size: int) -> bytes:
                return self.left.pop() if self.left else b""

            def seekable(self) -> bool:
                return True

            def tell(self) -> int:
                return 0

            def seek(self, offset: int, whence: int = 0) -> int:
                return 10 if whence == 2 else 0

        with pytest.raises(InvalidArgument, match="10 bytes were announced, and 5 came"):
            await kv.put_value(Liar(), id="ada", key=b"k")  # pyright: ignore[reportArgumentType]
        assert (await kv.count_items(id="ada")).count == 0

    async def test_a_stream_that_takes_too_long_is_refused(self, stage: Stage, environment: VirtualEnvironment) -> None:
        kv = await make(stage, "people", **KNOBS, stream_timeout="1m")

        async def slow() -> AsyncIterator[bytes]:
            yield big()
            environment.advance(61)
            yield big()

        with pytest.raises(DeadlineExceeded, match="1m") as refused:
            await kv.put_value(slow(), id="ada", key=b"k")
        assert (refused.value.outcome, refused.value.retryable) == ("not_applied", False)

    @pytest.mark.parametrize(("waits_s", "taken"), [(620, True), (640, False)])
    async def test_a_slow_stream_may_not_outlive_its_token(
        self, kv: KeyValue, environment: VirtualEnvironment, clock: Clock, waits_s: float, taken: bool
    ) -> None:
        async def slow() -> AsyncIterator[bytes]:
            yield big()
            environment.advance(waits_s)
            yield b"end"

        putting = kv.put_value(slow(), id="ada", key=b"k", idempotency_token=clock.token())
        if taken:
            await putting
            return
        with pytest.raises(DeadlineExceeded, match="too old by now"):
            await putting

    async def test_a_slow_stream_without_a_token_gets_one_at_its_end(
        self, kv: KeyValue, environment: VirtualEnvironment
    ) -> None:
        async def slow() -> AsyncIterator[bytes]:
            yield big()
            environment.advance(1_800)

        reply = await kv.put_value(slow(), id="ada", key=b"k")
        assert reply.idempotency_token.generation_time // 1_000 >= environment.now_us()
        assert await got(kv) == big()

    async def test_a_delete_that_came_meanwhile_does_not_hide_what_was_committed_after_it(self, kv: KeyValue) -> None:
        async def slow() -> AsyncIterator[bytes]:
            yield big()
            await kv.delete_items(id="ada", predicate=ALL)

        await kv.put_value(slow(), id="ada", key=b"k")
        assert await got(kv) == big()

    async def test_a_namespace_that_was_made_anew_meanwhile_gets_nothing(self, kv: KeyValue, stage: Stage) -> None:
        async def slow() -> AsyncIterator[bytes]:
            yield big()
            control = stage.client(Namespaces)
            await control.delete(name="people")
            await control.put(namespace=NamespaceSpec(name="people", abstraction="kv", config=KNOBS))

        with pytest.raises(SoundstageError):
            await kv.put_value(slow(), id="ada", key=b"k")
        assert (await kv.count_items(id="ada")).count == 0


class TestStores:
    async def test_a_store_that_fails_while_chunks_are_stored_has_applied_nothing(
        self, open_stage: OpenStage, environment: VirtualEnvironment
    ) -> None:
        engine = Watching(environment)
        kv = await make(await open_stage(engine), "people", **KNOBS)
        await kv.put_value(b"old", id="ada", key=b"k")
        engine.at, engine.error = len(engine.tables_of) + 1, Unavailable("full", outcome="unknown")
        with pytest.raises(Unavailable) as refused:
            await kv.put_value(big(), id="ada", key=b"k")
        assert refused.value.outcome == "not_applied"
        assert await got(kv) == b"old"

    async def test_chunks_come_before_the_row_and_the_register_before_both(
        self, open_stage: OpenStage, environment: VirtualEnvironment
    ) -> None:
        engine = Watching(environment)
        kv = await make(await open_stage(engine), "people", **KNOBS)
        engine.tables_of.clear()
        await kv.put_value(bytes(3 * MIB), id="ada", key=b"k")
        assert engine.tables_of[-1] == "kv/people"
        assert set(engine.tables_of[:-1]) == {"kv/people/values"}

    async def test_what_is_replaced_is_dropped_after_the_grace(
        self, kv: KeyValue, stage: Stage, environment: VirtualEnvironment
    ) -> None:
        await kv.put_value(big(), id="ada", key=b"k")
        await kv.put_value(b"small", id="ada", key=b"k")
        assert await swept(stage, environment, 3_500) == 0
        assert await swept(stage, environment, 200) == 1
        assert await stored_chunks(stage) == 0

    @pytest.mark.parametrize("damage", ["gone", "other"])
    async def test_a_damaged_value_is_told_and_never_returned_whole(
        self, kv: KeyValue, stage: Stage, damage: str
    ) -> None:
        await kv.put_value(big(), id="ada", key=b"k")
        (manifest,) = (await manifests(stage)).values()
        namespace = served(stage)
        now_us = stage.environment.now_us()
        if damage == "gone":
            await drop_chunks(namespace, manifest.upload, now_us, stage.environment)
        else:
            partition = b"c" + manifest.upload + bytes(4)
            page = await namespace.records.read(namespace.values_table, partition, Span(), Budget(), 0)
            key, cell = page.rows[-1]
            changed = version.put(now_us + 1, "other", b"?" * len(version.split(cell).value))
            await namespace.records.apply(namespace.values_table, partition, Batch(cells=[(key, changed)]))
        assert len(await received_before(kv, DataLoss)) < len(big())

    async def test_chunks_that_make_up_another_value_are_told_before_the_last(self, kv: KeyValue, stage: Stage) -> None:
        await kv.put_value(big(), id="ada", key=b"k")
        (manifest,) = (await manifests(stage)).values()
        namespace = served(stage)
        partition = b"c" + manifest.upload + bytes(4)
        other = chunk_cell(stage.environment.now_us() + 1, "other", bytes(16_384))
        await namespace.records.apply(namespace.values_table, partition, Batch(cells=[(bytes(4), other)]))
        assert len(await received_before(kv, DataLoss)) < len(big())
        assert await got(kv, start=16_384) == big()[16_384:]


async def test_a_hot_item_is_not_stale_after_a_stream(kv: KeyValue) -> None:
    await kv.put_value(b"1", id="ada", key=b"k")
    assert values((await kv.get_items(id="ada", predicate=keys(b"k"))).items) == {b"k": b"1"}
    await kv.put_value(big(), id="ada", key=b"k")
    assert values((await kv.get_items(id="ada", predicate=keys(b"k"))).items) == {b"k": big()}
