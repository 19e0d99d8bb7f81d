"""The scenario of a watched namespace: what it plays, and that it would notice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import pytest
from tests.testing.simulation.theatre import at_play, noted

from soundstage.testing.simulation.changes import SCENARIO, Act, ChangesPlay, ChangeStep, Follower
from soundstage.testing.simulation.scenario import Divergence, Site

T = TypeVar("T")


def played(body: Callable[[Site, ChangesPlay], Awaitable[T]]) -> T:
    return at_play(ChangesPlay, body, config=getattr(SCENARIO, "config"))  # noqa: B009


def step(act: Act, number: int, *keys: bytes, record: str = "ada", **choices: Any) -> ChangeStep:
    return ChangeStep(number=number, client=0, act=act, record=record, keys=keys, **choices)


async def story(site: Site, playing: ChangesPlay) -> None:
    await playing.play(step("put", 1, b"a", b"b"))
    await playing.play(step("follow", 2, most=1))
    await playing.play(step("delete", 3, b"a"))
    await playing.play(step("look", 4))
    await playing.play(step("truncate", 5, record=""))
    await playing.play(step("put", 6, b"c"))
    await playing.play(step("erase", 7))
    await site.host.restart("kill", 0.5)
    await playing.play(step("follow", 8, most=50))


def test_what_is_written_truncated_and_followed_is_explained() -> None:
    async def body(site: Site, playing: ChangesPlay) -> set[str]:
        await story(site, playing)
        await playing.settle()
        return noted()

    assert played(body) >= {"written", "truncated", "told", "resumed", "looked", "erased", "forgotten"}


Told: TypeAlias = dict[str, list[str]]


def missed(told: Told) -> None:
    told["ada"].pop()


def twice(told: Told) -> None:
    told["ada"].append(told["ada"][0])


def out_of_order(told: Told) -> None:
    told["ada"].reverse()


def a_truncation_missed(told: Told) -> None:
    told[""].pop()


@pytest.mark.parametrize("spoil", [missed, twice, out_of_order, a_truncation_missed])
def test_what_a_follower_was_told_otherwise_is_noticed(spoil: Callable[[Told], None]) -> None:
    async def body(site: Site, playing: ChangesPlay) -> None:
        await story(site, playing)
        followers: list[Follower] = getattr(playing, "_followers")  # noqa: B009
        spoil(followers[0].told)
        with pytest.raises(Divergence, match="told in parts"):
            await playing.settle()

    played(body)


@pytest.mark.parametrize(("key", "version"), [(b"a", (1, 0, "put-1")), (b"c", None)], ids=["unwritten", "lacking"])
def test_what_is_read_otherwise_is_noticed(key: bytes, version: Any) -> None:
    async def body(site: Site, playing: ChangesPlay) -> None:
        await story(site, playing)
        sent: Any = getattr(playing, "_sent")  # noqa: B009
        with pytest.raises(Divergence):
            sent.judge("ada", key, version, sent.acknowledged())

    played(body)
