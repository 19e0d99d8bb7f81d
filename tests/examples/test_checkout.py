"""A basket becomes an order whole, once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from examples.checkout.checkout import Checkout, open_shop

from soundstage import IdempotencyToken, Instant, Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage.open(data="memory:") as stage:
        yield stage


@pytest.fixture
async def checkout(stage: Stage) -> Checkout:
    return await open_shop(stage)


def token(stage: Stage, after_us: int = 1_000) -> IdempotencyToken:
    """One that is later than all that was written so far."""
    return IdempotencyToken(Instant.from_us(stage.environment.now_us() + after_us), "7")


async def test_a_basket_becomes_an_order(stage: Stage, checkout: Checkout) -> None:
    await checkout.fill("ada", "metropolis")
    status = await checkout.settled(await checkout.order("ada", token(stage)))
    assert (status.state, status.applied) == ("applied", 4)
    assert await checkout.count("orders", "order-7") == 1
    assert await checkout.count("stock", "metropolis") == 1
    assert await checkout.count("customers", "ada") == 1
    assert await checkout.count("baskets", "ada") == 0


async def test_what_is_put_into_the_basket_after_the_order_stays(stage: Stage, checkout: Checkout) -> None:
    earlier = token(stage, after_us=-1_000_000)
    await checkout.fill("ada", "metropolis")
    await checkout.settled(await checkout.order("ada", earlier))
    assert await checkout.count("baskets", "ada") == 1


async def test_the_baskets_of_others_are_let_be(stage: Stage, checkout: Checkout) -> None:
    await checkout.fill("ada", "metropolis")
    await checkout.fill("grace", "nosferatu")
    await checkout.settled(await checkout.order("ada", token(stage)))
    assert await checkout.count("baskets", "grace") == 1
