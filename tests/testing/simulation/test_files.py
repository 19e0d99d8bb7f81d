"""The scenario of files: what it plays, and that it would notice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeVar

import pytest
from tests.testing.simulation.theatre import at_site, noted

from soundstage.core.errors import Exhausted
from soundstage.engines.blobs.port import BlobInfo
from soundstage.testing.simulation.files import KEYS, QUOTA, Act, Coming, Expiring, FilesPlay, FileStep, digest, model
from soundstage.testing.simulation.scenario import Divergence, Site
from soundstage.testing.simulation.shelf import calmly

T = TypeVar("T")


def played(body: Callable[[FilesPlay], Awaitable[T]]) -> T:
    """What `body` returns, of a play on a machine that nothing befalls but what the body does to it."""

    async def main(site: Site) -> T:
        playing = FilesPlay(site, Random(1))
        await playing.prepare()
        try:
            with calmly():
                return await body(playing)
        finally:
            await playing.shelf.stop()

    return at_site(main)


def step(act: Act, number: int = 1, **choices: Any) -> FileStep:
    return FileStep(number=number, client=0, act=act, **choices)


def info(**fields: Any) -> BlobInfo:
    told: dict[str, Any] = {
        "key": KEYS[0],
        "size": 16,
        "sha256": digest(1, 16),
        "created_us": 1,
        "metadata": {"number": "1"},
        **fields,
    }
    return BlobInfo(**told)


@pytest.mark.parametrize(
    ("state", "request_", "answers"),
    [
        (None, ("put", 2), [(2, 2)]),
        (1, ("put", 2), [(2, 2)]),
        (None, ("new", 2), [(2, 2)]),
        (1, ("new", 2), [(1, "exists")]),
        (1, ("delete", 2), [(None, "deleted")]),
        (None, ("delete", 2), [(None, "absent")]),
        (1, ("look", 2), [(1, 1)]),
    ],
)
def test_a_key_is_promised_to_be_one_object(state: Any, request_: Any, answers: Any) -> None:
    assert list(model(state, request_)) == answers


@pytest.mark.parametrize(
    ("acts", "situations"),
    [
        (["put", "read", "head", "list"], {"kept", "seen"}),
        (["put_new", "put_new", "delete", "delete"], {"kept", "deleted", "absent"}),
        (["cut", "read"], {"cut", "nothing"}),
        (["wrong", "head"], {"wrong", "nothing"}),
        (["put", "end", "read"], {"kept", "seen"}),
        (["expiring", "list", "boundary", "sweep"], {"boundary"}),
    ],
)
def test_what_is_done_is_explained(acts: list[Act], situations: set[str]) -> None:
    async def body(playing: FilesPlay) -> set[str]:
        for number, act in enumerate(acts):
            await playing.play(step(act, number, size=4_096))
            await playing.shelf.ready()
        await playing.settle()
        return noted()

    assert played(body) >= situations


def test_who_gives_up_leaves_nothing() -> None:
    async def body(playing: FilesPlay) -> set[str]:
        await playing.play(step("give_up", size=300_000, after_s=0.1))
        await playing.settle()
        return noted()

    assert played(body) >= {"given_up"}


def test_what_finds_no_room_is_refused() -> None:
    async def body(playing: FilesPlay) -> set[str]:
        for number in range(5):
            await playing.play(step("put", number, place=number, size=1 << 20))
        await playing.settle()
        return noted()

    assert played(body) >= {"kept", "full"}


def test_a_refusal_with_room_left_is_noticed() -> None:
    async def body(playing: FilesPlay) -> None:
        coming = Coming(16)
        coming.most = QUOTA
        with pytest.raises(Divergence, match="were refused"):
            playing._check_full(coming, Exhausted("full"))

    played(body)


def test_a_blob_that_was_acknowledged_and_is_gone_is_noticed() -> None:
    async def body(playing: FilesPlay) -> None:
        await playing.play(step("put"))
        await playing.shelf.call(lambda engine: engine.delete(KEYS[0]))
        with pytest.raises(Divergence, match="answered with None"):
            await playing.play(step("read", 2))

    played(body)


def test_bytes_of_another_put_are_noticed() -> None:
    async def body(playing: FilesPlay) -> None:
        await playing.play(step("put", size=4_096))
        playing._sizes[1] = 16
        with pytest.raises(Divergence, match="are not those of the put 1"):
            await playing.play(step("read", 2))

    played(body)


@pytest.mark.parametrize("told", [info(size=24), info(sha256="0" * 64), info(metadata={"number": "2"})])
def test_a_description_that_cannot_be_is_noticed(told: BlobInfo) -> None:
    async def body(playing: FilesPlay) -> None:
        playing._sizes.update({1: 16, 2: 16})
        with pytest.raises(Divergence, match="is told of as"):
            playing._check_info(told, 1)

    played(body)


def test_a_file_that_nobody_knows_of_is_noticed() -> None:
    async def body(playing: FilesPlay) -> None:
        (playing.shelf.folder / "staging" / "left").write_bytes(b"half")
        with pytest.raises(Divergence, match="1 files are being written"):
            await playing._check_folder(first=True)

    played(body)


def test_a_blob_that_nobody_put_is_noticed() -> None:
    async def body(playing: FilesPlay) -> None:
        await playing.play(step("expiring", ttl_s=60.0))
        playing._expiring.clear()
        with pytest.raises(Divergence, match="nobody put"):
            await playing.play(step("list", 2))

    played(body)


@pytest.mark.parametrize(
    ("state", "left_us", "found"),
    [("kept", 10, False), ("kept", 0, True), ("gone", 10, True)],
)
def test_an_expiry_that_is_not_to_the_microsecond_is_noticed(state: Any, left_us: int, found: bool) -> None:
    async def body(playing: FilesPlay) -> None:
        playing._sizes[1] = 16
        now_us = playing._environment.now_us()
        blob = Expiring(1, 16, now_us + left_us)
        blob.state = state
        with pytest.raises(Divergence):
            playing._judge_expiring(blob, info() if found else None, now_us)

    played(body)
