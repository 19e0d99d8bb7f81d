"""The layout `plain` on a bucket is what the suite says, and other programs find the bytes of blobs alone."""

from __future__ import annotations

import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from tests.conformance.proxy import Proxy
from tests.conformance.s3.conftest import BUCKET, MIB, engine_at
from tests.conformance.s3.test_engine import collect, raw

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import AlreadyExists, DataLoss, InvalidArgument, Unavailable
from soundstage.engines.blobs.port import Blobs, Expectation
from soundstage.engines.blobs.s3 import S3Blobs
from soundstage.engines.blobs.s3.conditions import Condition
from soundstage.testing.blobs import BlobsSuite, diskless
from soundstage.testing.blobs.calls import content_of, in_chunks, keys, put, read

LARGE = 12 * MIB + 17
PLAIN = "layout=plain&part=5MiB"


@pytest.fixture
def place(prefix: str) -> str:
    """What no engine of the other layout has: a case of the suite may name the prefix."""
    return f"plain/{prefix}"


@pytest.fixture
async def plain(endpoint: str, place: str, environment: VirtualEnvironment) -> AsyncIterator[S3Blobs]:
    made = engine_at(endpoint, place, environment, PLAIN)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def plain_through(proxy: Proxy, place: str, environment: VirtualEnvironment) -> AsyncIterator[S3Blobs]:
    """The engine of the same prefix, by way of the proxy."""
    made = engine_at(proxy.url, place, environment, PLAIN)
    await made.start()
    yield made
    await made.stop()


@diskless
class TestPlain(BlobsSuite):
    goes_on_unheard = True

    @pytest.fixture
    async def blobs(self, plain: S3Blobs) -> Blobs:
        return plain


def names(endpoint: str, place: str, below: str = "files/") -> list[str]:
    """Of the objects there, without the prefix."""
    listed = f"{endpoint}/{BUCKET}?list-type=2&prefix={quote(f'{place}/{below}')}"
    with urllib.request.urlopen(listed, timeout=10) as answer:
        found = answer.read().decode().split("<Key>")[1:]
    return [each.partition("<")[0].removeprefix(f"{place}/") for each in found]


@pytest.mark.parametrize("size", [0, 5, 5 * MIB, LARGE])
async def test_other_programs_find_the_bytes_of_a_blob_and_nothing_else(
    plain: S3Blobs, endpoint: str, place: str, size: int
) -> None:
    content = content_of(size)
    info = await put(plain, "films/heat.mp4", content)
    (name,) = names(endpoint, place)
    assert name.startswith("files/films/heat.")
    assert name.endswith(".mp4")
    assert raw(endpoint, f"{place}/{name}") == content
    assert (await read(plain, "films/heat.mp4"), await plain.usage()) == (content, (1, size))
    assert await plain.list() == [info]


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (5 * MIB - 1, 5 * MIB + 1), (LARGE - 1, LARGE), (11 * MIB + 5, None), (LARGE, None)]
)
async def test_a_range_of_a_large_blob_is_that_part(plain: S3Blobs, start: int, end: int | None) -> None:
    content = content_of(LARGE)
    await put(plain, "film", content)
    assert await read(plain, "film", start, end) == content[start:end]


async def test_a_small_range_asks_for_its_blocks_alone(plain_through: S3Blobs, plain: S3Blobs, proxy: Proxy) -> None:
    await put(plain, "film", content_of(LARGE))
    proxy.requests = b""
    await read(plain_through, "film", 3 * MIB + 5, 3 * MIB + 6)
    asked = sorted(line for line in proxy.requests.lower().split(b"\r\n") if line.startswith(b"range:"))
    assert asked == [b"range: bytes=-65536", b"range: bytes=3145728-4194303"]


async def test_of_a_blob_that_is_replaced_the_new_bytes_alone_are_there(
    plain: S3Blobs, endpoint: str, place: str
) -> None:
    for content in (b"old", b"new", b"new"):
        await put(plain, "a", content)
    (name,) = names(endpoint, place)
    assert raw(endpoint, f"{place}/{name}") == b"new"
    assert (await plain.delete("a"), names(endpoint, place, "")) == (True, [])


async def test_the_same_bytes_again_are_another_blob(plain: S3Blobs, environment: VirtualEnvironment) -> None:
    await put(plain, "a", b"same", expires_us=environment.now_us() + 1)
    await plain.list()
    await put(plain, "a", b"same")
    environment.advance(1)
    assert (await plain.sweep(10), await keys(plain), await read(plain, "a")) == (0, ["a"], b"same")


async def test_what_expires_goes_with_its_bytes(
    plain: S3Blobs, endpoint: str, place: str, environment: VirtualEnvironment
) -> None:
    for key in ("a", "b"):
        await put(plain, key, b"old", expires_us=environment.now_us() + 1)
    environment.advance(1)
    await put(plain, "a", b"new", absent=True)
    assert (await plain.sweep(10), len(names(endpoint, place)), await read(plain, "a")) == (1, 1, b"new")


async def test_a_put_that_is_refused_leaves_no_bytes(plain: S3Blobs, endpoint: str, place: str) -> None:
    async def overtaken() -> AsyncIterator[bytes]:
        yield content_of(6 * MIB)
        await put(plain, "a", b"first")

    with pytest.raises(AlreadyExists):
        await plain.put("a", overtaken(), expect=Expectation(absent=True))
    await plain.stop()
    (name,) = names(endpoint, place)
    assert raw(endpoint, f"{place}/{name}") == b"first"


@pytest.mark.parametrize(
    ("size", "lost"),
    [(1_000, b"/files/"), (1_000, b"/heads/"), (6 * MIB, b"<CompleteMultipartUpload"), (6 * MIB, b"/heads/")],
    ids=["bytes", "head", "parts", "head of parts"],
)
async def test_a_put_whose_answer_is_lost_is_known_for_what_it_did(
    plain_through: S3Blobs, endpoint: str, place: str, proxy: Proxy, size: int, lost: bytes
) -> None:
    content = content_of(size)
    assert await plain_through._conditions.known(Condition.WHOLE)

    async def sent() -> AsyncIterator[bytes]:
        yield content
        proxy.lose_answer_to = b"PUT /%s/%s%s" % (BUCKET.encode(), place.encode(), lost) if lost[:1] == b"/" else lost

    info = await plain_through.put("film", sent(), expect=Expectation(absent=True))
    assert (proxy.lose_answer_to, await plain_through.head("film")) == (None, info)
    assert await read(plain_through, "film") == content
    assert len(names(endpoint, place)) == 1


@pytest.mark.parametrize("query", ["", "layout=plain"])
async def test_a_prefix_has_one_layout(endpoint: str, place: str, environment: VirtualEnvironment, query: str) -> None:
    first = engine_at(endpoint, place, environment, query)
    await first.start()
    await put(first, "a")
    await first.stop()
    other = engine_at(endpoint, place, environment, "" if query else "layout=plain")
    with pytest.raises(InvalidArgument) as refused:
        await other.start()
    assert refused.value.field == "layout"
    await other.stop()


@pytest.mark.parametrize("at", [0, 2 * MIB - 1, 2 * MIB + 5])
async def test_data_loss_comes_before_the_first_wrong_byte(plain: S3Blobs, endpoint: str, place: str, at: int) -> None:
    content = content_of(3 * MIB)
    await put(plain, "film", content)
    (name,) = names(endpoint, place)
    raw(endpoint, f"{place}/{name}", content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    got: list[bytes] = []
    with pytest.raises(DataLoss):
        await collect(plain.open("film"), got)
    assert b"".join(got) == content[: at // MIB * MIB]


@pytest.mark.parametrize("left", [None, 0, 1_000], ids=["gone", "empty", "cut short"])
async def test_a_blob_without_its_bytes_is_lost(plain: S3Blobs, endpoint: str, place: str, left: int | None) -> None:
    content = content_of(2 * MIB)
    await put(plain, "film", content)
    (name,) = names(endpoint, place)
    if left is None:
        await plain._link.ask("delete_object", reading=False, Key=f"{place}/{name}")
    else:
        raw(endpoint, f"{place}/{name}", content[:left])
    with pytest.raises(DataLoss, match="film"):
        await read(plain, "film")


async def test_a_reader_whose_blob_is_replaced_before_it_has_any_of_it_gets_the_new_one(
    plain: S3Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(plain, "film", b"old")
    ask: Callable[..., Awaitable[object]] = plain._link.ask
    meanwhile = [b"new"]

    async def overtaken(operation: str, **request: Any) -> object:
        answer = await ask(operation, **request)
        if operation == "get_object" and meanwhile:
            await put(plain, "film", meanwhile.pop())
        return answer

    monkeypatch.setattr(plain._link, "ask", overtaken)
    assert await read(plain, "film") == b"new"


async def test_a_reader_whose_blob_is_gone_when_its_stream_breaks_off_is_told(
    plain_through: S3Blobs, plain: S3Blobs, proxy: Proxy
) -> None:
    await put(plain, "film", content_of(9 * MIB))
    proxy.cut_after = 3 * MIB
    reading = plain_through.open("film")
    got = [await anext(reading)]
    await put(plain, "film", content_of(9 * MIB, seed=2))
    with pytest.raises(Unavailable):
        await collect(reading, got)


async def test_bytes_that_a_dead_process_left_are_cleared_away_a_day_later_and_no_others(
    endpoint: str, place: str
) -> None:
    environment = VirtualEnvironment(start_ns=int(datetime.now(UTC).timestamp()) * 10**9)
    engine = engine_at(endpoint, place, environment, PLAIN)
    await engine.start()
    await put(engine, "whole", b"kept")
    for name in (f"whole.{'a' * 32}", f"headless.{'b' * 32}.parquet", "strange"):
        raw(endpoint, f"{place}/files/{name}", b"left")
    await engine.sweep(10)
    assert len(names(endpoint, place)) == 4
    environment.advance(timedelta(days=1, hours=1).total_seconds())
    await engine.sweep(10)
    assert [each.partition(".")[0] for each in names(endpoint, place)] == ["files/strange", "files/whole"]
    assert await read(engine, "whole") == b"kept"
    await engine.stop()


async def test_bytes_are_gone_over_no_more_than_once_a_day(
    endpoint: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = VirtualEnvironment(start_ns=int(datetime.now(UTC).timestamp()) * 10**9)
    engine = engine_at(endpoint, place, environment, PLAIN)
    await engine.start()
    await put(engine, "whole", b"kept")
    ask: Callable[..., Awaitable[object]] = engine._link.ask
    looks: list[str] = []

    async def noted(operation: str, **request: Any) -> object:
        if operation == "get_object":
            looks.append(request["Key"])
        return await ask(operation, **request)

    monkeypatch.setattr(engine._link, "ask", noted)
    counts: list[int] = []
    for hours in (25, 1, 24):
        environment.advance(timedelta(hours=hours).total_seconds())
        await engine.sweep(10)
        counts.append(len(looks))
    await engine.stop()
    assert counts == [1, 1, 2]


async def test_a_put_of_other_bytes_than_were_told_leaves_nothing(plain: S3Blobs, endpoint: str, place: str) -> None:
    with pytest.raises(InvalidArgument):
        await plain.put("film", in_chunks(content_of(100)), expect=Expectation(size=99))
    await plain.stop()
    assert names(endpoint, place, "") == []
