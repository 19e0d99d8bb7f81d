from __future__ import annotations

import gzip
from typing import Any

import pytest
import zstandard

from soundstage.core.errors import Exhausted, InvalidArgument, TooLarge
from soundstage.core.size import Size
from soundstage.runtime.config import HttpConfig
from soundstage.surface.http.asgi import Receive
from soundstage.surface.http.body import Bodies, Disconnected
from soundstage.surface.http.head import Head
from soundstage.surface.http.media import UnknownCoding

MAX = 4_096


def bodies(**limits: Any) -> Bodies:
    given: dict[str, Any] = {"max_body": Size(MAX), **limits}
    return Bodies(HttpConfig(**given))


def head(**headers: str) -> Head:
    return Head([(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()])


def receiving(*parts: bytes, hangs_up: bool = False) -> Receive:
    """Gives the parts one after the other, and then hangs up if it is to."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": hangs_up or number + 1 < len(parts)}
        for number, part in enumerate(parts)
    ]
    messages.append({"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return receive


async def test_a_body_in_one_part_is_itself() -> None:
    assert await bodies().read(head(), receiving(b"abc")) == b"abc"


async def test_parts_are_joined() -> None:
    assert await bodies().read(head(), receiving(b"a", b"", b"bc")) == b"abc"


async def test_no_body_is_an_empty_one() -> None:
    assert await bodies().read(head(), receiving(b"")) == b""


async def test_a_body_of_the_limit_is_read() -> None:
    assert len(await bodies().read(head(content_length=str(MAX)), receiving(bytes(MAX)))) == MAX


async def test_one_that_announces_more_is_refused_unread() -> None:
    async def never() -> dict[str, Any]:
        raise AssertionError

    with pytest.raises(TooLarge) as caught:
        await bodies().read(head(content_length=str(MAX + 1)), never)
    assert (caught.value.field, caught.value.hint) == ("Content-Length", "split the request")


@pytest.mark.parametrize("parts", [(bytes(MAX + 1),), (bytes(MAX), b"x"), (b"x",) * (MAX + 1)])
async def test_one_that_turns_out_larger_is_refused(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(TooLarge, match=f"over {MAX} bytes"):
        await bodies().read(head(), receiving(*parts))


async def test_reading_ends_where_the_limit_is_passed() -> None:
    receive = receiving(*[bytes(MAX)] * 100)
    with pytest.raises(TooLarge):
        await bodies().read(head(), receive)
    assert (await receive())["type"] == "http.request"


@pytest.mark.parametrize("parts", [(), (b"ab",), (b"ab", b"cd")])
async def test_who_hangs_up_is_not_answered(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(Disconnected):
        await bodies().read(head(), receiving(*parts, hangs_up=True))


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(b"content")),
        ("GZip ", gzip.compress(b"content")),
        ("zstd", zstandard.compress(b"content")),
        ("identity", b"content"),
    ],
    ids=["gzip", "gzip, written otherwise", "zstd", "identity"],
)
async def test_a_coded_body_is_decoded(coding: str, packed: bytes) -> None:
    assert await bodies().read(head(content_encoding=coding), receiving(packed)) == b"content"


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "x" * 1_000])
async def test_another_coding_is_415_and_told_shortly(coding: str) -> None:
    with pytest.raises(UnknownCoding) as caught:
        await bodies().read(head(content_encoding=coding), receiving(b"abc"))
    assert (caught.value.status, caught.value.field, len(caught.value.detail) < 100) == (415, "Content-Encoding", True)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
async def test_the_limit_holds_for_what_is_decoded(coding: str, pack: Any) -> None:
    packed = pack(bytes(MAX + 1))
    assert len(packed) < MAX
    with pytest.raises(TooLarge, match="when decompressed"):
        await bodies().read(head(content_encoding=coding), receiving(packed))


async def test_a_damaged_coding_is_told() -> None:
    with pytest.raises(InvalidArgument, match="no gzip"):
        await bodies().read(head(content_encoding="gzip"), receiving(b"plain"))


LIMITED = {"max_body": Size(1 << 20), "max_buffered": Size(2 << 20)}


class TestMemory:
    """What all requests together may hold."""

    def test_what_is_held_is_counted_while_it_is(self) -> None:
        all_bodies = bodies(**LIMITED)
        with all_bodies.holding(100):
            assert all_bodies.held == 100
        assert all_bodies.held == 0

    def test_it_is_let_go_when_the_call_fails(self) -> None:
        all_bodies = bodies(**LIMITED)
        with pytest.raises(KeyError), all_bodies.holding(100):
            raise KeyError
        assert all_bodies.held == 0

    def test_more_than_there_is_is_exhausted_and_told_to_wait(self) -> None:
        all_bodies = bodies(**LIMITED)
        with all_bodies.holding(2 << 20), pytest.raises(Exhausted) as caught, all_bodies.holding(1):
            pass
        assert (caught.value.retryable, caught.value.retry_after_ms, all_bodies.held) == (True, 1_000, 0)

    async def test_a_body_that_comes_in_parts_is_counted_as_it_grows(self) -> None:
        all_bodies = bodies(**LIMITED)
        seen: list[int] = []
        parts = receiving(b"abc", b"de", b"f")

        async def receive() -> dict[str, Any]:
            seen.append(all_bodies.held)
            return await parts()

        await all_bodies.read(head(), receive)
        assert (seen, all_bodies.held) == ([0, 3, 5], 0)

    async def test_parts_that_find_no_room_are_refused(self) -> None:
        all_bodies = bodies(**LIMITED)
        with all_bodies.holding(2 << 20), pytest.raises(Exhausted):
            await all_bodies.read(head(), receiving(b"abc", b"de"))
        assert all_bodies.held == 0

    async def test_a_refused_body_leaves_nothing_counted(self) -> None:
        all_bodies = bodies(**LIMITED)
        with pytest.raises(TooLarge):
            await all_bodies.read(head(), receiving(bytes(1 << 20), bytes(1 << 20), b"x"))
        assert all_bodies.held == 0

    async def test_one_who_hangs_up_leaves_nothing_counted(self) -> None:
        all_bodies = bodies(**LIMITED)
        with pytest.raises(Disconnected):
            await all_bodies.read(head(), receiving(b"abc", hangs_up=True))
        assert all_bodies.held == 0

    async def test_a_coded_body_is_counted_as_the_most_it_may_be(self) -> None:
        all_bodies = bodies(**LIMITED)
        packed = gzip.compress(b"small")
        with all_bodies.holding(1 << 20):
            assert await all_bodies.read(head(content_encoding="gzip"), receiving(packed)) == b"small"
        with all_bodies.holding((1 << 20) + 1), pytest.raises(Exhausted):
            await all_bodies.read(head(content_encoding="gzip"), receiving(packed))
