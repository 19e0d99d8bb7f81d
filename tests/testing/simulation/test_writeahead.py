"""The scenario of sets of mutations: what it plays, and that it would notice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from tests.testing.simulation.theatre import at_play, noted

from soundstage.core.time import Instant
from soundstage.data.writeahead import MutationStatus
from soundstage.testing.simulation.scenario import Divergence, Site
from soundstage.testing.simulation.writeahead import Act, SetStep, WriteAheadPlay

T = TypeVar("T")


def played(body: Callable[[Site, WriteAheadPlay], Awaitable[T]]) -> T:
    return at_play(WriteAheadPlay, body)


def step(act: Act, number: int = 1, **choices: Any) -> SetStep:
    return SetStep(number=number, client=0, act=act, **choices)


def test_a_set_that_nothing_happens_to_is_applied() -> None:
    async def body(site: Site, playing: WriteAheadPlay) -> set[str]:
        await playing.play(step("submit", places=(0, 1, 2)))
        await site.environment.sleep(2)
        await playing.play(step("status", 2))
        await playing.play(step("order", 3))
        await playing.play(step("repeat", 4))
        await playing.settle()
        return noted()

    assert played(body) == {"accepted", "applied", "seen", "repeated_accepted"}


def test_a_set_whose_host_was_killed_is_applied() -> None:
    async def body(site: Site, playing: WriteAheadPlay) -> set[str]:
        await playing.play(step("submit", places=(0, 1)))
        await site.host.restart("kill", 0.5)
        await playing.play(step("write", 2))
        await playing.play(step("double", 3))
        await playing.settle()
        return noted()

    assert {"accepted", "doubled"} <= played(body)


def test_a_delayed_set_waits() -> None:
    async def body(site: Site, playing: WriteAheadPlay) -> set[str]:
        await playing.play(step("delay", places=(0,), delay_s=20.0))
        await site.environment.sleep(2)
        await playing.play(step("status", 2))
        await playing.settle()
        return noted()

    assert {"delayed", "pending"} <= played(body)


def status(**fields: Any) -> MutationStatus:
    from soundstage.core.message import IdempotencyToken

    given: dict[str, Any] = {"state": "applied", "mutations": 2, "applied": 2, **fields}
    token = IdempotencyToken(Instant(1_000), "t")
    return MutationStatus(mutation_id="m", target="kv", idempotency_token=token, accepted_at=Instant(1), **given)


@pytest.mark.parametrize(
    "told",
    [status(state="dead", applied=1), status(mutations=3), status(applied=1), status(state="pending", applied=0)],
)
def test_a_status_that_cannot_be_is_noticed(told: MutationStatus) -> None:
    async def body(site: Site, playing: WriteAheadPlay) -> None:
        await playing.play(step("submit", places=(0, 1)))
        with pytest.raises(Divergence):
            playing._judge(1, told, before=1)

    played(body)


def test_a_set_that_is_there_in_part_is_noticed() -> None:
    async def body(site: Site, playing: WriteAheadPlay) -> None:
        await playing.play(step("submit", places=(0, 1)))
        await site.environment.sleep(2)
        longer = playing._sent[0]._replace(places=("one", "two", "three"))
        playing._sent[0] = longer
        with pytest.raises(Divergence, match="in part"):
            await playing._is_whole(longer)

    played(body)


def test_an_item_of_a_lesser_version_is_noticed() -> None:
    async def body(site: Site, playing: WriteAheadPlay) -> None:
        await playing.play(step("submit", places=(0,)))
        await site.environment.sleep(2)
        playing._writes.append(("one", (2**60, "never"), b"own"))
        with pytest.raises(Divergence, match="one holds"):
            await playing._check_shared("one", playing._sent)

    played(body)
