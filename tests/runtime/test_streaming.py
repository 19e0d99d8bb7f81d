"""Uploads and downloads on their way to a service, by the example of values of the key-value store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from soundstage.core.call import DEFAULT_OPTIONS, Call, Principal
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DeadlineExceeded, Exhausted, Forbidden, InvalidArgument, TokenReused, Unavailable
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.streaming import Body
from soundstage.data.kv import KeyValue
from soundstage.data.kv.api import GetValue, KeyValueCalls, PutValue
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.runtime.streaming import BoundDownload, BoundUpload, Streams

READER = Principal("reader", {"people": ("read",)}, "1")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    config = {"admission": {"streams": 2}}
    async with Stage.open(data="memory:", config=config, environment=VirtualEnvironment(seed=3)) as stage:
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name="people", abstraction="kv"))
        yield stage


@pytest.fixture
def kv(stage: Stage) -> KeyValue:
    return stage.client(KeyValue, "people")


def uploading(stage: Stage) -> BoundUpload:
    bound = stage.operation("kv", "put_value")
    assert isinstance(bound, BoundUpload)
    return bound


def downloading(stage: Stage) -> BoundDownload:
    bound = stage.operation("kv", "get_value")
    assert isinstance(bound, BoundDownload)
    return bound


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    for each in content:
        yield each


def body(*content: bytes) -> Body:
    return Body(pieces(*content), None)


def request(key: bytes = b"k") -> PutValue:
    return PutValue(namespace="people", id="a", key=key)


async def held(entered: asyncio.Event, until: asyncio.Event) -> AsyncIterator[bytes]:
    entered.set()
    await until.wait()
    yield b"x"


async def test_who_may_only_read_uploads_nothing_and_may_download(stage: Stage) -> None:
    with pytest.raises(Forbidden):
        await uploading(stage).upload(Call(principal=READER), request(), body(b"x"))
    await uploading(stage).upload(Call(), request(), body(b"x"))
    asked = GetValue(namespace="people", id="a", key=b"k")
    async with downloading(stage).open(Call(principal=READER), asked) as content:
        assert content.size == 1


async def test_an_upload_is_no_call(stage: Stage) -> None:
    with pytest.raises(InvalidArgument, match="is an upload"):
        await stage.dispatch("kv", "put_value", Call(), request())


async def test_a_download_is_no_call(stage: Stage, kv: KeyValue) -> None:
    await kv.put_value(b"x", id="a", key=b"k")
    asked = GetValue(namespace="people", id="a", key=b"k")
    with pytest.raises(InvalidArgument, match="is a download"):
        await stage.dispatch("kv", "get_value", Call(), asked)
    with pytest.raises(InvalidArgument, match="is a download"):
        await stage.invoke(KeyValueCalls.get_value, asked, DEFAULT_OPTIONS)


async def test_what_is_no_stream_is_not_one_by_being_asked_for(stage: Stage) -> None:
    with pytest.raises(InvalidArgument, match="no upload"):
        await stage.upload(KeyValueCalls.get_items, None, b"", DEFAULT_OPTIONS)  # pyright: ignore
    with pytest.raises(InvalidArgument, match="no download"):
        await stage.download(KeyValueCalls.get_items, None, DEFAULT_OPTIONS).__aenter__()  # pyright: ignore


async def test_a_body_is_read_only_once_the_call_is_let_in(stage: Stage) -> None:
    sent = body(b"x")
    with pytest.raises(InvalidArgument):
        await uploading(stage).upload(Call(), PutValue(namespace="", id="a", key=b"k"), sent)
    assert not sent.begun


async def test_those_under_way_are_bounded_and_counted(stage: Stage, kv: KeyValue) -> None:
    await kv.put_value(b"old", id="a", key=b"old")
    entered, until = asyncio.Event(), asyncio.Event()
    putting = asyncio.ensure_future(kv.put_value(held(entered, until), id="a", key=b"k"))
    await entered.wait()
    async with kv.get_value(id="a", key=b"old"):
        assert b"soundstage_streams 2.0" in stage.metrics_text()
        with pytest.raises(Exhausted, match="2 uploads and downloads"):
            await kv.put_value(b"x", id="a", key=b"k")
        with pytest.raises(Exhausted):
            await kv.get_value(id="a", key=b"old").__aenter__()
    until.set()
    await putting
    assert b"soundstage_streams 0.0" in stage.metrics_text()


async def test_calls_under_way_include_what_is_read(stage: Stage, kv: KeyValue) -> None:
    await kv.put_value(b"old", id="a", key=b"k")
    admission = stage._parts.admission  # pyright: ignore[reportPrivateUsage]
    async with kv.get_value(id="a", key=b"k"):
        assert admission.in_flight == 1
    assert admission.in_flight == 0


async def test_a_stage_that_stops_lets_an_upload_end_and_takes_no_other() -> None:
    async with Stage.open(data="memory:") as stage:
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name="people", abstraction="kv"))
        kv = stage.client(KeyValue, "people")
        await kv.put_value(b"old", id="a", key=b"old")
        entered, until = asyncio.Event(), asyncio.Event()
        putting = asyncio.ensure_future(kv.put_value(held(entered, until), id="a", key=b"k"))
        await entered.wait()
        stopping = asyncio.ensure_future(stage.stop())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await kv.put_value(b"x", id="a", key=b"k")
        until.set()
        assert (await putting).size == 1
        await stopping


class TestKeys:
    async def test_a_repetition_gets_the_first_answer_whatever_came_later(self, stage: Stage, kv: KeyValue) -> None:
        call = Call(idempotency_key="once")
        first = await uploading(stage).upload(call, request(), body(b"x"))
        await kv.put_value(b"later", id="a", key=b"k")
        assert await uploading(stage).upload(call, request(), body(b"x")) == first
        async with kv.get_value(id="a", key=b"k") as value:
            assert await value.read() == b"later"

    async def test_other_bytes_under_the_key_are_refused(self, stage: Stage) -> None:
        call = Call(idempotency_key="once")
        await uploading(stage).upload(call, request(), body(b"x"))
        with pytest.raises(TokenReused, match="other bytes"):
            await uploading(stage).upload(call, request(), body(b"y"))

    async def test_a_repetition_that_is_refused_counts_as_failed(self, stage: Stage) -> None:
        call, uploads = Call(idempotency_key="once"), uploading(stage)
        for sent in (b"x", b"x", b"y"):
            with suppress(TokenReused):
                await uploads.upload(call, request(), body(sent))
        assert (uploads.stats.calls, uploads.stats.failures) == (3, {"token_reused": 1})

    async def test_no_more_is_read_of_a_repetition_than_came_at_first(self, stage: Stage) -> None:
        read: list[bytes] = []

        async def endless() -> AsyncIterator[bytes]:
            while True:
                read.append(b"x")
                yield b"x"

        call = Call(idempotency_key="once")
        await uploading(stage).upload(call, request(), body(b"xx"))
        for size, most in ((None, 3), (100, 0)):
            read.clear()
            with pytest.raises(TokenReused, match="other bytes"):
                await uploading(stage).upload(call, request(), Body(endless(), size))
            assert len(read) == most

    async def test_a_repetition_ends_by_its_deadline(self, stage: Stage) -> None:
        environment = stage.environment
        assert isinstance(environment, VirtualEnvironment)
        await uploading(stage).upload(Call(idempotency_key="once"), request(), body(b"xx"))
        entered = asyncio.Event()
        call = Call(idempotency_key="once", deadline_ns=environment.monotonic_ns() + 1_000_000_000)
        sent = Body(held(entered, asyncio.Event()), None)
        repeated = asyncio.ensure_future(uploading(stage).upload(call, request(), sent))
        await entered.wait()
        environment.advance(2)
        with pytest.raises(DeadlineExceeded):
            await repeated
        assert b"soundstage_streams 0.0" in stage.metrics_text()

    async def test_a_repetition_takes_a_place_as_well(self, stage: Stage, kv: KeyValue) -> None:
        call = Call(idempotency_key="once")
        await uploading(stage).upload(call, request(), body(b"x"))
        async with kv.get_value(id="a", key=b"k"), kv.get_value(id="a", key=b"k"):
            with pytest.raises(Exhausted):
                await uploading(stage).upload(call, request(), body(b"x"))

    async def test_one_that_takes_longer_than_calls_may_is_let_end(self, stage: Stage) -> None:
        environment = stage.environment
        assert isinstance(environment, VirtualEnvironment)

        async def slow() -> AsyncIterator[bytes]:
            yield b"x"
            environment.advance(120)
            yield b"y"

        reply = await uploading(stage).upload(Call(idempotency_key="slow"), request(), Body(slow(), None))
        assert reply.size == 2


def test_a_place_is_given_back_whatever_happens() -> None:
    streams = Streams(1)
    with suppress(ZeroDivisionError), streams.entered():
        raise ZeroDivisionError
    with streams.entered():
        assert streams.count == 1
    assert streams.count == 0
