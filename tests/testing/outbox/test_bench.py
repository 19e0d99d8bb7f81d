"""The bench itself: what breaks off leaves work to do, and is seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.testing.outbox.pairs import kept, opener

from soundstage.core.environment import VirtualEnvironment
from soundstage.testing.outbox import Outbox
from soundstage.testing.outbox.bench import STEPS, Broken, Step, never


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    outbox = Outbox(opener(kept(), tmp_path), VirtualEnvironment(seed=1), seed=4)
    await outbox.open()
    yield outbox
    await outbox.close()


def test_nobody_breaks_off_unless_told() -> None:
    assert not any(map(never, STEPS))


@pytest.mark.parametrize("step", STEPS[1:])
async def test_who_breaks_off_leaves_work_to_do(outbox: Outbox, step: Step) -> None:
    await outbox.intend(5)
    with pytest.raises(Broken):
        await outbox.applier().apply(lambda passed: passed == step)
    with pytest.raises(AssertionError):
        await outbox.check()
    await outbox.finish()
    await outbox.check()


async def test_who_breaks_off_behind_an_append_appends_again(outbox: Outbox) -> None:
    await outbox.intend(2, lambda _: True)
    assert (len(outbox.intents), sum(each.end for each in await outbox.pair.log.bounds("outbox/intents"))) == (2, 4)


async def test_a_position_that_was_never_moved_is_seen(outbox: Outbox) -> None:
    await outbox.intend(3)
    applier = outbox.applier()
    while await applier.read():
        await applier.write()
    await outbox.check_effects()
    with pytest.raises(AssertionError, match="the position is behind"):
        await outbox.check()


async def test_a_position_beyond_what_is_applied_is_seen(outbox: Outbox) -> None:
    await outbox.intend(3)
    applier = outbox.applier()
    await applier.read()
    await applier.commit()
    with pytest.raises(AssertionError, match="was passed over"):
        await outbox.check_position()


async def test_what_is_delivered_again_begins_at_the_first(outbox: Outbox) -> None:
    await outbox.intend(4)
    await outbox.finish()
    await outbox.forget_positions()
    assert set((await outbox.committed()).values()) == {0}
