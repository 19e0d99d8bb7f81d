"""The engine on a bucket is what the suite says, sends large blobs in parts, and proves what it reads."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime

import pytest
from tests.conformance.proxy import Proxy
from tests.conformance.s3.conftest import BUCKET, MIB, WHO, engine_at

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import AlreadyExists, DataLoss, Exhausted, TooLarge, Unavailable
from soundstage.engines.blobs.port import CHUNK_MAX_BYTES, BlobCapability, BlobInfo, Blobs, Expectation
from soundstage.engines.blobs.s3 import S3Blobs
from soundstage.engines.blobs.s3.layout import object_bytes
from soundstage.testing.blobs import BlobsSuite, diskless
from soundstage.testing.blobs.calls import content_of, in_chunks, keys, put, read

LARGE = 12 * MIB + 17
ABSENT = Expectation(absent=True)


@diskless
class TestS3(BlobsSuite):
    goes_on_unheard = True

    @pytest.fixture
    async def blobs(self, engine: S3Blobs) -> Blobs:
        return engine


async def collect(reading: AsyncIterator[bytes], into: list[bytes]) -> None:
    """All that is read is in `into`, what came before an error too."""
    async for chunk in reading:
        into.append(chunk)


def raw(endpoint: str, name: str, content: bytes | None = None) -> bytes:
    """The object as it lies in the bucket, or made so."""
    method = "GET" if content is None else "PUT"
    headers = {"Authorization": WHO, "Content-Type": "application/octet-stream"}
    request = urllib.request.Request(f"{endpoint}/{BUCKET}/{name}", content, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


def uploads(endpoint: str, prefix: str) -> int:
    """How many objects of the prefix were begun in parts and not ended."""
    with urllib.request.urlopen(f"{endpoint}/{BUCKET}?uploads", timeout=10) as answer:
        return answer.read().count(f"<Key>{prefix}/".encode())


async def cleared(endpoint: str, prefix: str) -> None:
    """Nothing is left of puts that broke off; what is cleared away is so soon after."""
    for _ in range(1_000):
        if not await asyncio.to_thread(uploads, endpoint, prefix):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("parts were left")


def test_it_is_durable(engine: S3Blobs) -> None:
    assert engine.capabilities == {BlobCapability.DURABLE, BlobCapability.SHARED}


async def test_a_large_blob_is_sent_in_parts_and_read_as_one(engine: S3Blobs, endpoint: str, prefix: str) -> None:
    content = content_of(LARGE)
    info = await put(engine, "film", content)
    assert (info.size, await engine.head("film")) == (LARGE, info)
    assert await read(engine, "film") == content
    assert len(raw(endpoint, f"{prefix}/objects/film")) == object_bytes(LARGE)
    assert uploads(endpoint, prefix) == 0


@pytest.mark.parametrize("size", [5 * MIB, 5 * MIB + 1, 10 * MIB])
async def test_a_blob_that_ends_where_a_part_does_is_whole(engine: S3Blobs, size: int) -> None:
    content = content_of(size)
    await put(engine, "film", content)
    assert await read(engine, "film") == content


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (5 * MIB - 1, 5 * MIB + 1), (3 * MIB, 8 * MIB), (LARGE - 1, LARGE), (11 * MIB + 5, None), (LARGE, None)],
)
async def test_a_range_of_a_large_blob_is_that_part(engine: S3Blobs, start: int, end: int | None) -> None:
    content = content_of(LARGE)
    await put(engine, "film", content)
    assert await read(engine, "film", start, end) == content[start:end]


async def test_one_chunk_may_be_larger_than_a_part(engine: S3Blobs) -> None:
    content = content_of(LARGE)
    await engine.put("film", in_chunks(content, LARGE))
    assert await read(engine, "film") == content


async def test_a_small_range_asks_for_its_blocks_alone(through: S3Blobs, engine: S3Blobs, proxy: Proxy) -> None:
    await put(engine, "film", content_of(LARGE))
    proxy.requests = b""
    await read(through, "film", 3 * MIB + 5, 3 * MIB + 6)
    asked = sorted(line for line in proxy.requests.lower().split(b"\r\n") if line.startswith(b"range:"))
    assert asked == [b"range: bytes=-65536", b"range: bytes=3145728-4194303"]


async def test_a_small_blob_is_read_by_one_request(through: S3Blobs, engine: S3Blobs, proxy: Proxy) -> None:
    await put(engine, "note", content_of(50_000))
    proxy.requests = b""
    assert await read(through, "note") == content_of(50_000)
    assert proxy.requests.count(b"GET /") == 1


async def test_a_list_that_was_made_before_costs_one_request(through: S3Blobs, proxy: Proxy) -> None:
    for number in range(5):
        await put(through, f"k{number}")
    first = await through.list()
    proxy.requests = b""
    assert await through.list() == first
    assert proxy.requests.count(b"GET /") == 1


async def test_a_list_that_was_made_before_shows_what_was_replaced(engine: S3Blobs) -> None:
    await put(engine, "a", b"old")
    await engine.list()
    replaced = await put(engine, "a", b"replaced")
    assert await engine.list() == [replaced]


async def test_a_large_put_that_breaks_off_leaves_no_parts(engine: S3Blobs, endpoint: str, prefix: str) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield content_of(11 * MIB)
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        await engine.put("film", breaking())
    await cleared(endpoint, prefix)
    assert await keys(engine) == []


async def test_a_large_put_whose_caller_goes_leaves_no_parts(engine: S3Blobs, endpoint: str, prefix: str) -> None:
    sent = asyncio.Event()

    async def waiting() -> AsyncGenerator[bytes]:
        yield content_of(11 * MIB)
        sent.set()
        await asyncio.Event().wait()

    upload = asyncio.ensure_future(engine.put("film", waiting()))
    await sent.wait()
    assert uploads(endpoint, prefix) == 1
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await cleared(endpoint, prefix)


async def test_a_stop_waits_until_what_broke_off_is_cleared_away(engine: S3Blobs, endpoint: str, prefix: str) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield content_of(6 * MIB)
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        await engine.put("film", breaking())
    await engine.stop()
    assert uploads(endpoint, prefix) == 0


async def test_parts_that_a_dead_process_left_are_cleared_away_a_day_later(endpoint: str, prefix: str) -> None:
    # To this server every upload has begun then.
    begun = datetime(2010, 11, 10, 20, 48, 33, tzinfo=UTC)
    environment = VirtualEnvironment(start_ns=int(begun.timestamp()) * 10**9)
    engine = engine_at(endpoint, prefix, environment)
    await engine.start()
    await engine._link.ask("create_multipart_upload", reading=True, Key=f"{prefix}/objects/film")
    left: list[int] = []
    for _ in range(2):
        environment.advance(86_400)
        await engine.sweep(10)
        left.append(uploads(endpoint, prefix))
    await engine.stop()
    assert left == [1, 0]


async def test_a_large_blob_replaces_none_where_none_may_be(engine: S3Blobs, endpoint: str, prefix: str) -> None:
    async def overtaken() -> AsyncIterator[bytes]:
        yield content_of(6 * MIB)
        await put(engine, "film", b"first")

    with pytest.raises(AlreadyExists):
        await engine.put("film", overtaken(), expect=ABSENT)
    await cleared(endpoint, prefix)
    assert await read(engine, "film") == b"first"


async def test_one_engine_reads_what_another_has_put(
    engine: S3Blobs, endpoint: str, prefix: str, environment: VirtualEnvironment
) -> None:
    other = engine_at(endpoint, prefix, environment)
    await other.start()
    info = await put(other, "a", b"from afar")
    assert (await read(engine, "a"), await engine.list()) == (b"from afar", [info])
    await other.stop()


async def test_of_two_engines_at_once_one_wins_where_none_may_be(
    engine: S3Blobs, endpoint: str, prefix: str, environment: VirtualEnvironment
) -> None:
    other = engine_at(endpoint, prefix, environment)
    await other.start()
    puts = [put(each, "a", b"%d" % number, absent=True) for number, each in enumerate((engine, other) * 4)]
    made = await asyncio.gather(*puts, return_exceptions=True)
    assert sum(isinstance(each, BlobInfo) for each in made) == 1
    assert sum(isinstance(each, AlreadyExists) for each in made) == 7
    await other.stop()


async def test_prefixes_keep_blobs_apart(engine: S3Blobs, endpoint: str, environment: VirtualEnvironment) -> None:
    other = engine_at(endpoint, "elsewhere", environment)
    await other.start()
    await put(engine, "a", b"here")
    assert (await keys(other), (await other.usage()).blobs) == ([], 0)
    await other.stop()


@pytest.mark.parametrize("at", [0, 2 * MIB - 1, 2 * MIB + 5])
async def test_data_loss_comes_before_the_first_wrong_byte(
    engine: S3Blobs, endpoint: str, prefix: str, at: int
) -> None:
    content = content_of(3 * MIB)
    await put(engine, "film", content)
    lying = bytearray(raw(endpoint, f"{prefix}/objects/film"))
    lying[at] ^= 1
    raw(endpoint, f"{prefix}/objects/film", bytes(lying))
    got: list[bytes] = []
    with pytest.raises(DataLoss):
        await collect(engine.open("film"), got)
    assert b"".join(got) == content[: at // MIB * MIB]
    beyond = (at // MIB + 1) * MIB
    assert await read(engine, "film", beyond, beyond) == b""


async def test_a_small_blob_that_is_damaged_is_told(engine: S3Blobs, endpoint: str, prefix: str) -> None:
    await put(engine, "note", b"hello")
    raw(endpoint, f"{prefix}/objects/note", b"jello" + raw(endpoint, f"{prefix}/objects/note")[5:])
    with pytest.raises(DataLoss):
        await read(engine, "note")


@pytest.mark.parametrize("content", [b"", b"not of ours", b"x" * 70_000])
async def test_an_object_that_is_no_blob_is_not_listed_and_can_be_deleted(
    engine: S3Blobs, endpoint: str, prefix: str, content: bytes
) -> None:
    raw(endpoint, f"{prefix}/objects/strange", content)
    await put(engine, "a")
    assert await keys(engine) == ["a"]
    with pytest.raises(DataLoss):
        await engine.head("strange")
    assert (await engine.delete("strange"), await engine.delete("strange")) == (True, False)


async def test_a_blob_that_was_replaced_by_one_that_lasts_is_not_swept(
    engine: S3Blobs, environment: VirtualEnvironment
) -> None:
    await put(engine, "a", b"old", expires_us=environment.now_us() + 1)
    await put(engine, "b", b"old", expires_us=environment.now_us() + 1)
    await put(engine, "a", b"lasting", expires_us=environment.now_us() + 10**12)
    environment.advance(1)
    assert (await engine.sweep(10), await keys(engine)) == (1, ["a"])


async def test_a_sweep_ends_after_so_many_that_were_deleted_before_they_expired(
    engine: S3Blobs, environment: VirtualEnvironment
) -> None:
    expires_us = environment.now_us() + 1_000_000
    for key in ("a", "b", "c"):
        await engine.put(key, in_chunks(b"old"), expires_us=expires_us)
    assert await engine.delete("a")
    assert await engine.delete("b")
    environment.advance(2)
    assert [await engine.sweep(2), await engine.sweep(2)] == [0, 1]


async def test_what_has_expired_is_replaced_where_no_live_blob_may_be_and_not_swept_then(
    engine: S3Blobs, environment: VirtualEnvironment
) -> None:
    await put(engine, "a", b"old", expires_us=environment.now_us() + 1)
    environment.advance(1)
    await put(engine, "a", b"new", absent=True)
    assert (await engine.sweep(10), await read(engine, "a")) == (0, b"new")


async def test_more_than_the_quota_is_refused(endpoint: str, prefix: str, environment: VirtualEnvironment) -> None:
    engine = engine_at(endpoint, prefix, environment, "quota=10B")
    await engine.start()
    await put(engine, "a", b"123456")
    with pytest.raises(Exhausted):
        await put(engine, "b", b"12345")
    await put(engine, "c", b"1234")
    assert await keys(engine) == ["a", "c"]
    await engine.stop()


async def test_a_list_over_several_pages_is_one_list(engine: S3Blobs) -> None:
    named = [f"k{number:02d}" for number in range(7)]
    for key in named:
        await put(engine, key)
    pages = [page async for page in engine._pages(engine._names.heads, "", 3)]
    assert ([len(page) for page in pages], await keys(engine, limit=7)) == ([3, 3, 1], named)


async def test_a_read_goes_on_where_its_stream_broke_off(through: S3Blobs, engine: S3Blobs, proxy: Proxy) -> None:
    content = content_of(5 * MIB)
    await put(engine, "film", content)
    proxy.cut_after = 2 * MIB
    got = await read(through, "film")
    assert (proxy.cut_after, got == content) == (None, True)


async def test_a_read_whose_blob_is_gone_when_it_breaks_off_says_so(
    through: S3Blobs, engine: S3Blobs, proxy: Proxy
) -> None:
    await put(engine, "film", content_of(9 * MIB))
    proxy.cut_after = 3 * MIB
    reading = through.open("film")
    got = [await anext(reading)]
    await put(engine, "film", content_of(9 * MIB, seed=2))
    with pytest.raises(Unavailable) as refused:
        await collect(reading, got)
    assert (sum(map(len, got)) % MIB, refused.value.retryable, refused.value.outcome) == (0, True, "not_applied")


@pytest.mark.parametrize(
    ("size", "last"), [(1_000, b"PUT /"), (6 * MIB, b"<CompleteMultipartUpload")], ids=["whole", "parts"]
)
async def test_a_put_whose_answer_is_lost_is_known_for_what_it_did(
    through: S3Blobs, proxy: Proxy, size: int, last: bytes
) -> None:
    async def sent() -> AsyncIterator[bytes]:
        yield content_of(size)
        proxy.lose_answer_to = last

    info = await through.put("film", sent(), expect=ABSENT)
    assert (proxy.lose_answer_to, await through.head("film")) == (None, info)


async def test_a_part_whose_answer_is_lost_is_sent_again_and_the_blob_is_whole(through: S3Blobs, proxy: Proxy) -> None:
    content = content_of(LARGE)
    proxy.lose_answer_to = b"partNumber=2"
    await put(through, "film", content)
    assert (proxy.lose_answer_to, await read(through, "film") == content) == (None, True)


@pytest.mark.parametrize("more", [0, 6 * MIB], ids=["at the end", "between parts"])
async def test_a_put_whose_upload_the_server_has_lost_says_so_and_leaves_nothing(
    engine: S3Blobs, endpoint: str, prefix: str, more: int
) -> None:
    async def forgotten() -> AsyncIterator[bytes]:
        yield content_of(6 * MIB)
        (begun,) = (await engine._link.ask("list_multipart_uploads", reading=True, Prefix=prefix))["Uploads"]
        await engine._link.ask(
            "abort_multipart_upload", reading=False, Key=f"{prefix}/objects/film", UploadId=begun["UploadId"]
        )
        yield content_of(more)

    with pytest.raises(Unavailable) as refused:
        await engine.put("film", forgotten())
    assert (refused.value.outcome, refused.value.retryable) == ("not_applied", True)
    await cleared(endpoint, prefix)
    assert await keys(engine) == []
    await put(engine, "film", content_of(6 * MIB))


async def test_readers_and_putters_get_bounded_chunks_whatever_the_blob(engine: S3Blobs) -> None:
    await put(engine, "film", content_of(LARGE))
    assert max([len(chunk) async for chunk in engine.open("film")]) <= CHUNK_MAX_BYTES


async def test_a_reader_that_leaves_gives_its_connection_back(through: S3Blobs, engine: S3Blobs, proxy: Proxy) -> None:
    await put(engine, "film", content_of(LARGE))
    for _ in range(5):
        reading = through.open("film")
        await anext(reading)
        await reading.aclose()
    await through.stop()
    await proxy.deserted()
    assert not proxy.open


async def test_what_the_server_calls_itself_is_told(engine: S3Blobs) -> None:
    assert await engine.server_version()


async def test_more_parts_than_there_may_be_are_too_large(engine: S3Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundstage.engines.blobs.s3.uploading.PARTS_MAX", 1)
    with pytest.raises(TooLarge) as refused:
        await put(engine, "film", content_of(6 * MIB))
    assert "part" in str(refused.value.hint)
