"""What is found out of a server of which nobody knows yet what it heeds: by many at once, and when answers are lost."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.blobs.s3 import parse_address
from soundstage.engines.blobs.s3.conditions import Condition, Conditions
from soundstage.engines.blobs.s3.failures import Changed, Missing
from soundstage.engines.blobs.s3.link import Link


class Told(Link):
    """Answers what it is told to, once that is known; a delete is the condition's question, and clears away."""

    def __init__(self) -> None:
        super().__init__(
            parse_address("films", urlsplit("s3://films?region=us-east-1"), {}, None), VirtualEnvironment()
        )
        self.answers: list[asyncio.Future[Any]] = []
        self.asked: asyncio.Event = asyncio.Event()

    async def ask(
        self, operation: str, *, reading: bool, body: bytes | None = None, whole: bool = False, **parameters: Any
    ) -> Any:
        if operation == "put_object" or "IfMatch" not in parameters:
            return {}
        self.answers.append(asyncio.get_running_loop().create_future())
        self.asked.set()
        return await self.answers[-1]


@pytest.fixture
async def link() -> Told:
    return Told()


@pytest.fixture
async def conditions(link: Told) -> Conditions:
    return Conditions(link, "expiring/", VirtualEnvironment(), checksums=True)


async def several(conditions: Conditions, link: Told) -> list[asyncio.Task[bool]]:
    """Three who want to know, of whom the first asks."""
    calls = [asyncio.ensure_future(conditions.known(Condition.DELETE)) for _ in range(3)]
    await link.asked.wait()
    link.asked.clear()
    return calls


async def test_who_wants_to_know_meanwhile_has_the_same_answer(conditions: Conditions, link: Told) -> None:
    calls = await several(conditions, link)
    link.answers[0].set_exception(Changed())
    assert (await asyncio.gather(*calls), len(link.answers)) == ([True] * 3, 1)


async def test_nobody_waits_in_turn_for_a_server_that_does_not_answer(conditions: Conditions, link: Told) -> None:
    calls = await several(conditions, link)
    link.answers[0].set_exception(Unavailable("it hangs"))
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert ([type(each) for each in ended], len(link.answers)) == ([Unavailable] * 3, 1)
    again = asyncio.ensure_future(conditions.known(Condition.DELETE))
    await link.asked.wait()
    link.answers[1].set_result({})
    assert not await again


async def test_another_asks_where_the_first_is_cancelled(conditions: Conditions, link: Told) -> None:
    first, *others = await several(conditions, link)
    first.cancel()
    await link.asked.wait()
    link.answers[1].set_exception(Changed())
    assert await asyncio.gather(*others) == [True, True]


async def test_of_a_question_whose_first_answer_was_lost_nothing_is_known(conditions: Conditions, link: Told) -> None:
    calls = await several(conditions, link)
    link.answers[0].set_exception(Missing())
    for each in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(each, Unavailable)
        assert (each.outcome, each.retryable, conditions.warning) == ("not_applied", True, None)
