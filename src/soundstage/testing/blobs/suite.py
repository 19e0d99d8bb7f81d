"""The conformance suite of the blobs port.

    class TestMine(BlobsSuite):
        @pytest.fixture
        async def blobs(self, environment):
            engine = MyBlobs(environment)
            await engine.start()
            yield engine
            await engine.stop()

`environment` is a `VirtualEnvironment`, whose clock the suite moves; the engine takes its time from there.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from typing import ClassVar

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import (
    AlreadyExists,
    Exhausted,
    InvalidArgument,
    NotFound,
    SoundstageError,
    TooLarge,
    Unavailable,
)
from soundstage.engines.blobs.port import CHUNK_MAX_BYTES, KEY_MAX_CHARS, BlobInfo, Blobs, Expectation
from soundstage.testing.blobs.disk import STEPS, Held, Step, holding, refusing

SIZES = (0, 1, CHUNK_MAX_BYTES - 1, CHUNK_MAX_BYTES, CHUNK_MAX_BYTES + 1, (1 << 20) - 1, 1 << 20, (3 << 20) + 17)

WRONG_KEYS = ("", "/a", "a/", "a//b", ".", "..", "a/../b", ".a", "a/.b", "a b", "ä", "a\0", "a" * (KEY_MAX_CHARS + 1))


def content_of(size: int, seed: int = 1) -> bytes:
    """Bytes that look like nothing, and are the same every time."""
    return hashlib.shake_128(seed.to_bytes(4, "big")).digest(size)


async def in_chunks(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    """The content as an upload brings it."""
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def put(blobs: Blobs, key: str, content: bytes = b"x", expires_us: int = 0, **expect: object) -> BlobInfo:
    """The blob stored in one go."""
    return await blobs.put(key, in_chunks(content), expect=Expectation(**expect), expires_us=expires_us)  # pyright: ignore[reportArgumentType]


async def read(blobs: Blobs, key: str, start: int = 0, end: int | None = None) -> bytes:
    """The blob, or a range of it, in one piece."""
    return b"".join([chunk async for chunk in blobs.open(key, start, end)])


async def keys(blobs: Blobs, prefix: str = "", after: str = "", limit: int = 1_000) -> list[str]:
    return [info.key for info in await blobs.list(prefix, after, limit)]


async def state(blobs: Blobs, key: str) -> bytes | None:
    """The blob as `head`, `list` and `open` have it, which agree; None where there is none."""
    try:
        content = await read(blobs, key)
    except NotFound:
        content = None
    assert (key in await keys(blobs)) == (content is not None)
    return content


async def attempted(change: Coroutine[None, None, object]) -> str:
    """The outcome of a change: `applied`, or as its error tells."""
    try:
        await change
    except Unavailable as error:
        return error.outcome or "unknown"
    return "applied"


async def cancelled(change: Coroutine[None, None, object], held: Held) -> None:
    """The change was cancelled, several times, while the disk was at work; or had ended before."""
    changing = asyncio.ensure_future(change)
    reaching = asyncio.ensure_future(held.reached.wait())
    await asyncio.wait((changing, reaching), return_when=asyncio.FIRST_COMPLETED)
    for _ in range(3):
        changing.cancel()
        await asyncio.sleep(0)
    held.release()
    await asyncio.gather(changing, return_exceptions=True)
    reaching.cancel()


class BlobsSuite:
    """Subclass it and give a fixture `blobs`: a started engine, empty, on the clock of `environment`.

    `under_way_max` is how many bytes of a put may have been asked for before the engine itself has seen them.
    `goes_on_unheard` says that what was cancelled may still be done a little later, as over a network.
    """

    under_way_max: ClassVar[int] = 0
    goes_on_unheard: ClassVar[bool] = False

    @pytest.fixture
    def environment(self) -> VirtualEnvironment:
        return VirtualEnvironment(seed=5)

    @pytest.mark.parametrize("size", SIZES)
    async def test_what_was_put_is_read(self, blobs: Blobs, size: int) -> None:
        content = content_of(size)
        await put(blobs, "a/b", content)
        assert await read(blobs, "a/b") == content

    @pytest.mark.parametrize("size", SIZES)
    async def test_a_put_tells_size_and_sha256(self, blobs: Blobs, size: int) -> None:
        content = content_of(size)
        info = await put(blobs, "a", content)
        assert (info.key, info.size, info.sha256) == ("a", size, hashlib.sha256(content).hexdigest())
        assert await blobs.head("a") == info

    async def test_chunks_of_any_size_make_the_same_blob(self, blobs: Blobs) -> None:
        content = content_of(300_000)
        infos = [await blobs.put(f"k{size}", in_chunks(content, size)) for size in (7_001, 65_536, 400_000)]
        assert len({(info.size, info.sha256) for info in infos}) == 1

    async def test_empty_chunks_add_nothing(self, blobs: Blobs) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for chunk in (b"", b"a", b"", b"b", b""):
                yield chunk

        await blobs.put("a", chunks())
        assert await read(blobs, "a") == b"ab"

    async def test_readers_get_bounded_chunks(self, blobs: Blobs) -> None:
        await put(blobs, "a", content_of(2 << 20))
        sizes = [len(chunk) async for chunk in blobs.open("a")]
        assert max(sizes) <= CHUNK_MAX_BYTES
        assert min(sizes) > 0

    @pytest.mark.parametrize(
        ("start", "end"),
        [(0, 0), (0, 1), (5, 5), (1_048_575, 1_048_577), (0, 1_048_576), (1_048_576, 2_097_152), (99, 2_500_000)],
    )
    async def test_a_range_is_that_part(self, blobs: Blobs, start: int, end: int) -> None:
        content = content_of(2_500_000)
        await put(blobs, "a", content)
        assert await read(blobs, "a", start, end) == content[start:end]

    async def test_a_range_without_an_end_goes_to_the_end(self, blobs: Blobs) -> None:
        content = content_of(1_500_000)
        await put(blobs, "a", content)
        assert await read(blobs, "a", 1_400_000) == content[1_400_000:]

    @pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 2), (0, 6), (6, None), (6, 6)])
    async def test_what_is_no_range_is_refused(self, blobs: Blobs, start: int, end: int | None) -> None:
        await put(blobs, "a", b"12345")
        with pytest.raises(InvalidArgument):
            await read(blobs, "a", start, end)

    async def test_an_unknown_blob_is_not_found(self, blobs: Blobs) -> None:
        with pytest.raises(NotFound):
            await blobs.head("nothing")
        with pytest.raises(NotFound):
            await read(blobs, "nothing")

    @pytest.mark.parametrize("key", WRONG_KEYS)
    async def test_what_is_no_key_is_refused(self, blobs: Blobs, key: str) -> None:
        for attempt in (put(blobs, key), blobs.head(key), read(blobs, key), blobs.delete(key)):
            with pytest.raises(InvalidArgument):
                await attempt

    @pytest.mark.parametrize("key", ["a", "A/b_c-d.e/9", "a" * KEY_MAX_CHARS, "a/b" * 100, "x..y", "-", "_/_"])
    async def test_what_is_a_key_is_one(self, blobs: Blobs, key: str) -> None:
        await put(blobs, key, key.encode())
        assert (await read(blobs, key), await keys(blobs)) == (key.encode(), [key])

    async def test_a_key_may_begin_another(self, blobs: Blobs) -> None:
        for key in ("a", "a/b", "a/b/c", "ab"):
            await put(blobs, key, key.encode())
        assert [await read(blobs, key) for key in ("a", "a/b", "a/b/c", "ab")] == [b"a", b"a/b", b"a/b/c", b"ab"]

    async def test_a_put_replaces(self, blobs: Blobs) -> None:
        await put(blobs, "a", b"old and longer")
        await put(blobs, "a", b"new")
        assert (await read(blobs, "a"), await keys(blobs), (await blobs.usage()).bytes) == (b"new", ["a"], 3)

    async def test_a_reader_reads_on_what_it_began(self, blobs: Blobs) -> None:
        content = content_of(2_000_000)
        await put(blobs, "a", content)
        reading = blobs.open("a")
        first = await anext(reading)
        await put(blobs, "a", b"new")
        await blobs.delete("a")
        assert first + b"".join([chunk async for chunk in reading]) == content

    async def test_where_none_may_be_none_is_replaced(self, blobs: Blobs) -> None:
        await put(blobs, "a", b"first", absent=True)
        with pytest.raises(AlreadyExists):
            await put(blobs, "a", b"second", absent=True)
        assert await read(blobs, "a") == b"first"

    async def test_of_two_at_once_where_none_may_be_one_wins(self, blobs: Blobs) -> None:
        made = await asyncio.gather(
            *(put(blobs, "a", b"%d" % n, absent=True) for n in range(5)), return_exceptions=True
        )
        won = [info for info in made if isinstance(info, BlobInfo)]
        assert (len(won), sum(isinstance(each, AlreadyExists) for each in made)) == (1, 4)
        assert hashlib.sha256(await read(blobs, "a")).hexdigest() == won[0].sha256

    async def test_of_many_at_once_one_is_there_whole(self, blobs: Blobs) -> None:
        contents = [content_of(300_000, seed) for seed in range(6)]
        await asyncio.gather(*(put(blobs, "a", content) for content in contents))
        assert await read(blobs, "a") in contents
        assert (await blobs.usage()).blobs == 1

    @pytest.mark.parametrize("announced", [4, 6])
    async def test_another_size_than_announced_stores_nothing(self, blobs: Blobs, announced: int) -> None:
        with pytest.raises(InvalidArgument):
            await put(blobs, "a", b"12345", size=announced)
        assert await keys(blobs) == []

    async def test_another_sha256_than_announced_stores_nothing(self, blobs: Blobs) -> None:
        await put(blobs, "a", b"before")
        with pytest.raises(InvalidArgument):
            await put(blobs, "a", b"12345", sha256=hashlib.sha256(b"1234").hexdigest())
        assert await read(blobs, "a") == b"before"

    async def test_as_announced_it_is_stored(self, blobs: Blobs) -> None:
        await put(blobs, "a", b"12345", size=5, sha256=hashlib.sha256(b"12345").hexdigest().upper())
        assert await read(blobs, "a") == b"12345"

    async def test_more_than_is_taken_is_too_large(self, blobs: Blobs) -> None:
        with pytest.raises(TooLarge):
            await put(blobs, "a", content_of(200_000), max_bytes=199_999)
        await put(blobs, "b", content_of(200_000), max_bytes=200_000)
        assert await keys(blobs) == ["b"]

    async def test_more_than_is_taken_is_refused_before_all_has_come(self, blobs: Blobs) -> None:
        asked = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal asked
            while True:
                asked += 1
                yield b"x" * 1_000

        with pytest.raises(TooLarge):
            await blobs.put("a", endless(), expect=Expectation(max_bytes=10_000))
        assert 11 <= asked <= 11 + self.under_way_max // 1_000

    async def test_an_upload_that_breaks_off_leaves_what_was_there(self, blobs: Blobs) -> None:
        async def breaking() -> AsyncIterator[bytes]:
            yield content_of(1_200_000)
            raise ConnectionResetError("gone")

        await put(blobs, "a", b"before")
        with pytest.raises(ConnectionResetError):
            await blobs.put("a", breaking())
        assert (await read(blobs, "a"), (await blobs.usage()).bytes) == (b"before", 6)

    async def test_an_upload_that_is_cancelled_leaves_nothing(self, blobs: Blobs) -> None:
        sent = asyncio.Event()

        async def waiting() -> AsyncGenerator[bytes]:
            yield content_of(1_200_000)
            sent.set()
            await asyncio.Event().wait()

        upload = asyncio.ensure_future(blobs.put("a", waiting()))
        await sent.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert (await keys(blobs), (await blobs.usage()).bytes) == ([], 0)

    async def test_a_blob_is_not_there_before_it_is_whole(self, blobs: Blobs) -> None:
        seen: list[list[str]] = []

        async def looking() -> AsyncIterator[bytes]:
            yield content_of(1_200_000)
            seen.append(await keys(blobs))
            yield b"end"

        await blobs.put("a", looking())
        assert (seen, await keys(blobs)) == ([[]], ["a"])

    async def test_a_deleted_blob_is_gone(self, blobs: Blobs) -> None:
        await put(blobs, "a")
        assert (await blobs.delete("a"), await blobs.delete("a"), await keys(blobs)) == (True, False, [])
        with pytest.raises(NotFound):
            await blobs.head("a")
        assert (await blobs.usage()) == (0, 0)

    async def test_a_deleted_blob_can_be_put_again(self, blobs: Blobs) -> None:
        await put(blobs, "a", b"first")
        await blobs.delete("a")
        await put(blobs, "a", b"second", absent=True)
        assert await read(blobs, "a") == b"second"

    async def test_blobs_are_listed_in_byte_order(self, blobs: Blobs) -> None:
        named = ["b", "a", "a/b", "a-b", "A", "a/a", "_", "a.b", "9"]
        for key in named:
            await put(blobs, key)
        assert await keys(blobs) == sorted(named)

    @pytest.mark.parametrize(
        ("prefix", "after", "limit", "found"),
        [
            ("a/", "", 10, ["a/1", "a/2", "a/3"]),
            ("a/", "a/1", 10, ["a/2", "a/3"]),
            ("a/", "a/1", 1, ["a/2"]),
            ("", "a/2", 10, ["a/3", "b"]),
            ("a/", "b", 10, []),
            ("c", "", 10, []),
            ("b", "a", 10, ["b"]),
        ],
    )
    async def test_a_list_has_its_prefix_and_goes_on_after(
        self, blobs: Blobs, prefix: str, after: str, limit: int, found: Sequence[str]
    ) -> None:
        for key in ("a/1", "a/2", "a/3", "b"):
            await put(blobs, key)
        assert await keys(blobs, prefix, after, limit) == found

    @pytest.mark.parametrize("limit", [0, -1, 1_001])
    async def test_a_list_is_bounded(self, blobs: Blobs, limit: int) -> None:
        with pytest.raises(InvalidArgument):
            await blobs.list("", "", limit)

    async def test_a_blob_expires_to_the_microsecond(self, blobs: Blobs, environment: VirtualEnvironment) -> None:
        await put(blobs, "a", expires_us=environment.now_us() + 1_000_000)
        environment.advance(0.999999)
        assert await keys(blobs) == ["a"]
        environment.advance(0.000001)
        assert await keys(blobs) == []
        with pytest.raises(NotFound):
            await read(blobs, "a")

    async def test_an_expired_blob_is_no_obstacle(self, blobs: Blobs, environment: VirtualEnvironment) -> None:
        await put(blobs, "a", b"old", expires_us=environment.now_us() + 1)
        environment.advance(1)
        await put(blobs, "a", b"new", absent=True)
        assert await read(blobs, "a") == b"new"

    async def test_an_expiry_that_has_passed_is_refused(self, blobs: Blobs, environment: VirtualEnvironment) -> None:
        with pytest.raises(InvalidArgument):
            await put(blobs, "a", expires_us=environment.now_us())

    async def test_sweeping_frees_what_expired(self, blobs: Blobs, environment: VirtualEnvironment) -> None:
        for number in range(5):
            await put(blobs, f"k{number}", expires_us=environment.now_us() + 1 + number)
        await put(blobs, "kept")
        environment.advance(1)
        assert [await blobs.sweep(3), await blobs.sweep(3), await blobs.sweep(3)] == [3, 2, 0]
        assert (await keys(blobs), await blobs.usage()) == (["kept"], (1, 1))

    async def test_a_replaced_expiry_counts_no_more(self, blobs: Blobs, environment: VirtualEnvironment) -> None:
        await put(blobs, "a", expires_us=environment.now_us() + 1)
        await put(blobs, "a", b"lasting")
        environment.advance(1)
        assert (await blobs.sweep(10), await read(blobs, "a")) == (0, b"lasting")

    async def test_what_is_said_of_a_blob_is_kept(self, blobs: Blobs) -> None:
        said = {"name": "Größe.txt", "": "empty"}
        info = await blobs.put("a", in_chunks(b"x"), metadata=said)
        assert (info.metadata, (await blobs.head("a")).metadata) == (said, said)
        await blobs.stop()
        await blobs.start()
        assert (await blobs.list())[0].metadata == said

    async def test_not_too_much_is_said_of_a_blob(self, blobs: Blobs) -> None:
        with pytest.raises(InvalidArgument):
            await blobs.put("a", in_chunks(b"x"), metadata={"a": "ä" * 1_024})
        await blobs.put("a", in_chunks(b"x"), metadata={"aa": "ä" * 1_023})

    async def test_of_a_blob_many_things_are_said_and_not_too_many(self, blobs: Blobs) -> None:
        said = {f"{number:03x}": "" for number in range(128)}
        await blobs.put("a", in_chunks(b"x"), metadata=said)
        assert (await blobs.head("a")).metadata == said
        with pytest.raises(InvalidArgument):
            await blobs.put("a", in_chunks(b"x"), metadata={**said, "more": ""})

    async def test_all_blobs_together_have_no_more_than_is_expected_of_them(self, blobs: Blobs) -> None:
        await put(blobs, "a", b"123")
        with pytest.raises(Exhausted):
            await put(blobs, "b", b"1234", most_in_all=6)
        await put(blobs, "c", b"123", most_in_all=6)
        assert await keys(blobs) == ["a", "c"]

    async def test_usage_counts_blobs_and_bytes(self, blobs: Blobs) -> None:
        await put(blobs, "a", b"12345")
        await put(blobs, "b", b"123")
        await blobs.delete("a")
        assert await blobs.usage() == (1, 3)

    async def test_what_was_answered_is_there_after_a_restart(
        self, blobs: Blobs, environment: VirtualEnvironment
    ) -> None:
        content = content_of(1_300_000)
        await put(blobs, "a", content)
        await put(blobs, "b", b"old")
        await put(blobs, "b", b"new", expires_us=environment.now_us() + 5_000_000)
        await put(blobs, "c")
        await blobs.delete("c")
        before = await blobs.list()
        await blobs.stop()
        await blobs.start()
        assert (await blobs.list(), await read(blobs, "a"), await read(blobs, "b")) == (before, content, b"new")
        assert await blobs.usage() == (2, 1_300_003)

    async def test_a_stopped_engine_is_unavailable(self, blobs: Blobs) -> None:
        await put(blobs, "a")
        await blobs.stop()
        attempts = [put(blobs, "b"), blobs.head("a"), read(blobs, "a"), blobs.delete("a"), blobs.list(), blobs.sweep(1)]
        for attempt in attempts:
            with pytest.raises(Unavailable):
                await attempt

    async def test_stopping_twice_changes_nothing(self, blobs: Blobs) -> None:
        await blobs.stop()
        await blobs.stop()

    async def test_a_reader_of_a_stopped_engine_is_told(self, blobs: Blobs) -> None:
        await put(blobs, "a", content_of(2_000_000))
        reading = blobs.open("a")
        await anext(reading)
        await blobs.stop()
        with pytest.raises(SoundstageError):
            async for _ in reading:
                pass

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("nth", [1, 2, 3])
    @pytest.mark.parametrize("step", STEPS)
    async def test_a_put_that_the_disk_refuses_is_what_it_answered(
        self, blobs: Blobs, step: Step, nth: int, after: bool
    ) -> None:
        await put(blobs, "a", b"old")
        with refusing(step, nth, after=after):
            outcome = await attempted(put(blobs, "a", b"new"))
        allowed = {"applied": [b"new"], "not_applied": [b"old"]}.get(outcome, [b"old", b"new"])
        assert await state(blobs, "a") in allowed
        await blobs.stop()
        await blobs.start()
        assert await state(blobs, "a") in allowed

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("nth", [1, 2])
    @pytest.mark.parametrize("step", STEPS)
    async def test_a_delete_that_the_disk_refuses_is_what_it_answered(
        self, blobs: Blobs, step: Step, nth: int, after: bool
    ) -> None:
        await put(blobs, "a", b"old")
        with refusing(step, nth, after=after):
            outcome = await attempted(blobs.delete("a"))
        allowed = {"applied": [None], "not_applied": [b"old"]}.get(outcome, [None, b"old"])
        assert await state(blobs, "a") in allowed
        await blobs.stop()
        await blobs.start()
        assert await state(blobs, "a") in allowed

    @pytest.mark.parametrize("nth", [1, 2, 3])
    @pytest.mark.parametrize("step", STEPS)
    async def test_a_put_that_is_cancelled_at_the_disk_is_there_or_not_and_stays_so(
        self, blobs: Blobs, step: Step, nth: int
    ) -> None:
        await put(blobs, "a", b"old")
        with holding(step, nth) as held:
            await cancelled(put(blobs, "a", b"new"), held)
        found = await state(blobs, "a")
        assert found in (b"old", b"new")
        await blobs.stop()
        await blobs.start()
        assert self.goes_on_unheard or await state(blobs, "a") == found

    @pytest.mark.parametrize("nth", [1, 2])
    @pytest.mark.parametrize("step", STEPS)
    async def test_a_delete_that_is_cancelled_at_the_disk_is_done_or_not_and_stays_so(
        self, blobs: Blobs, step: Step, nth: int
    ) -> None:
        await put(blobs, "a", b"old")
        with holding(step, nth) as held:
            await cancelled(blobs.delete("a"), held)
        found = await state(blobs, "a")
        await blobs.stop()
        await blobs.start()
        assert self.goes_on_unheard or await state(blobs, "a") == found

    async def test_a_read_that_is_cancelled_at_the_disk_leaves_nothing_open(self, blobs: Blobs) -> None:
        await put(blobs, "a", content_of(300_000))
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(10):
            with holding("open", 1) as held:
                await cancelled(read(blobs, "a"), held)
        assert len(os.listdir("/proc/self/fd")) < before + 10
