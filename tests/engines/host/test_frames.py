"""What travels, cut anywhere, comes out as it was put in."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.engines.host.frames import CALL, CHUNK, FRAME_MAX_BYTES, RESULT, Broken, Frame, Inbox, Outbox

FRAMES = st.lists(
    st.tuples(st.integers(1, 11), st.integers(0, 0xFFFF), st.integers(0, (1 << 64) - 1), st.binary(max_size=40)),
    max_size=8,
)


class Wire:
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.closing


def outbox() -> tuple[Wire, Outbox]:
    wire = Wire()
    return wire, Outbox(cast("Any", wire))


def sent(frames: list[Frame]) -> bytes:
    async def send() -> bytes:
        wire, out = outbox()
        for kind, method, call, body in frames:
            out.send(kind, method, call, body)
        await asyncio.sleep(0)
        return b"".join(wire.writes)

    return asyncio.run(send())


@given(FRAMES, st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_frames_come_out_as_they_were_sent_however_they_are_cut(frames: list[Frame], cuts: list[int]) -> None:
    data, inbox, found = sent(frames), Inbox(), list[Frame]()
    at = step = 0
    while at < len(data):
        size = cuts[step % len(cuts)]
        found += inbox.feed(data[at : at + size])
        at, step = at + size, step + 1
    assert found == frames


def test_a_frame_that_is_too_long_breaks_the_connection_at_its_head() -> None:
    head = (FRAME_MAX_BYTES + 1).to_bytes(4, "big") + bytes(11)
    with pytest.raises(Broken):
        Inbox().feed(head)


async def test_what_is_sent_in_one_turn_leaves_in_one_write() -> None:
    wire, out = outbox()
    out.send(CALL, 1, 1, b"a")
    out.send(CHUNK, 0, 1, b"b")
    assert wire.writes == []
    await asyncio.sleep(0)
    out.send(RESULT, 0, 2)
    await asyncio.sleep(0)
    assert [len(Inbox().feed(data)) for data in wire.writes] == [2, 1]


async def test_nothing_is_written_to_a_transport_that_is_closing() -> None:
    wire, out = outbox()
    out.send(CALL, 1, 1, b"a")
    wire.closing = True
    await asyncio.sleep(0)
    assert wire.writes == []


async def test_there_is_room_once_the_other_side_reads() -> None:
    _, out = outbox()
    await out.room()
    out.pause()
    waiting = asyncio.ensure_future(out.room())
    await asyncio.sleep(0)
    assert (waiting.done(), out.paused) == (False, True)
    out.resume()
    await waiting
    assert not out.paused
