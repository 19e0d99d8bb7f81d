from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import pytest
from tests.testing.simulation.theatre import at_site, noted

from soundstage.runtime.tokens.api import ListTokensReply, Tokens
from soundstage.testing.simulation.faults import FaultRates
from soundstage.testing.simulation.scenario import Divergence, Site
from soundstage.testing.simulation.tokens import (
    Act,
    Create,
    Look,
    Request,
    Revoke,
    State,
    TokensPlay,
    TokenStep,
    model,
)

T = TypeVar("T")


@pytest.mark.parametrize(
    ("state", "request_", "after", "answer"),
    [
        (None, Create(7), 7, ("made", 7)),
        (3, Create(7), 3, "exists"),
        (None, Revoke(None), None, "not_found"),
        (None, Revoke(3), None, "not_found"),
        (3, Revoke(None), None, ("gone", 3)),
        (3, Revoke(3), None, ("gone", 3)),
        (3, Revoke(2), 3, "not_found"),
        (None, Look(), None, "not_found"),
        (3, Look(), 3, ("held", 3)),
    ],
)
def test_the_model_says_what_the_reference_says(state: State, request_: Request, after: State, answer: Any) -> None:
    assert list(model(state, request_)) == [(after, answer)]


def played(body: Callable[[Site, TokensPlay], Awaitable[T]]) -> T:
    async def main(site: Site) -> T:
        return await body(site, TokensPlay(site))

    return at_site(main)


def step(act: Act, number: int = 1, name: str = "one") -> TokenStep:
    return TokenStep(number=number, client=0, act=act, name=name)


async def play(playing: TokensPlay, *acts: Act) -> None:
    for number, act in enumerate(acts, 1):
        await playing.play(step(act, number))


@pytest.mark.parametrize(
    ("acts", "situations"),
    [
        (("create", "list"), {"created"}),
        (("create", "create"), {"created", "outdated"}),
        (("create", "revoke", "list"), {"created", "revoked"}),
        (("create", "revoke", "create", "list"), {"created", "revoked"}),
        (("create", "revoke_known"), {"created", "revoked"}),
        (("create", "revoke", "create", "revoke_known"), {"created", "revoked"}),
        (("revoke",), {"outdated"}),
        (("revoke_known", "poll", "list"), {"outdated"}),
    ],
)
def test_acts_are_explained(acts: tuple[Act, ...], situations: set[str]) -> None:
    async def body(site: Site, playing: TokensPlay) -> set[str]:
        await play(playing, *acts)
        await playing.settle()
        return set(noted())

    assert played(body) == situations


def test_a_token_is_known_again_by_the_step_that_made_it() -> None:
    async def body(site: Site, playing: TokensPlay) -> list[int]:
        await playing.play(step("create", 41))
        shown = (await site.client(0, Tokens).list()).tokens
        return [(info.expires_at or 0) - info.created_at for info in shown]

    assert played(body) == [(100_000_000 + 41) * 1_000_000_000]


def test_a_token_made_by_a_call_whose_answer_was_lost_is_recognised_later() -> None:
    async def body(site: Site, playing: TokensPlay) -> set[str]:
        site.host.engine.spared = frozenset()
        site.host.set_rates(FaultRates(lost_after=0.9))
        for number in range(1, 40, 3):
            await playing.play(step("create", number))
            await playing.play(step("list", number + 1))
            await playing.play(step("revoke", number + 2))
        site.host.set_rates(FaultRates())
        await playing.settle()
        return noted()

    assert "uncertain" in played(body)


def lie_to(site: Site, lie: Callable[[Any], Any]) -> None:
    """Every client is told what `lie` makes of each answer."""
    honest = site.machine(0)

    class Way:
        async def invoke(self, *call: Any) -> Any:
            return lie(await honest.invoke(*call))

    site.client = lambda number, face, namespace="": face(Way(), namespace)  # type: ignore[assignment, method-assign]


def of_another_step(reply: Any) -> Any:
    info = msgspec.structs.replace(reply.info, expires_at=reply.info.expires_at + 1_000_000_000)
    return msgspec.structs.replace(reply, info=info)


def listing(change: Callable[[list[Any]], list[Any]]) -> Callable[[Any], Any]:
    return lambda reply: ListTokensReply(tokens=change(reply.tokens))


def renamed(infos: list[Any]) -> list[Any]:
    return [msgspec.structs.replace(info, name="nobody") for info in infos]


@pytest.mark.parametrize(
    ("act", "lie", "said"),
    [
        ("create", of_another_step, "answered with"),
        ("revoke", of_another_step, "answered with"),
        ("list", listing(lambda infos: []), "not_found"),
        ("list", listing(lambda infos: infos * 2), "has the ids"),
        ("list", listing(renamed), "which nobody gave"),
    ],
)
def test_a_stage_that_lies_about_its_tokens_is_found_out(act: Act, lie: Callable[[Any], Any], said: str) -> None:
    async def body(site: Site, playing: TokensPlay) -> None:
        await playing.play(step("create", 1))
        lie_to(site, lie)
        await playing.play(step(act, 2, "one" if act != "create" else "other"))

    with pytest.raises(Divergence, match=said):
        played(body)


@pytest.mark.parametrize("act", ["revoke", "create"])
def test_a_refusal_that_nothing_explains_is_found_out(act: Act) -> None:
    async def body(site: Site, playing: TokensPlay) -> None:
        await playing.play(step("create", 1))
        # Behind the judge's back, so that the stage errs as far as it knows.
        tokens = site.host.stage.client(Tokens)
        if act == "revoke":
            await tokens.revoke(id="one")
        else:
            await playing.play(step("revoke", 2))
            await tokens.create(name="one", roles=["read"])
        await playing.play(step(act, 3))

    with pytest.raises(Divergence, match=r"answered with '(not_found|exists)'"):
        played(body)


def test_tokens_are_listed_over_more_than_one_page() -> None:
    async def body(site: Site, playing: TokensPlay) -> int:
        for number, name in enumerate(("one", "other", "third"), 1):
            await playing.play(step("create", number, name))
        site.transcript = []
        await playing.play(step("list", 4))
        return sum("tokens/list" in line for line in site.transcript)

    assert played(body) == 2
