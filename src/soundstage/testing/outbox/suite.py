"""The tests of the suite: broken off, delivered again, shared, and shut out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
import pytest_asyncio

from soundstage.core.environment import VirtualEnvironment
from soundstage.testing.outbox.bench import PARTITIONS, STEPS, TOPIC, Breaks, Broken, OpenPair, Outbox, Step, play

START_NS = 1_700_000_000_000_000_000


def once(step: Step, at: int) -> Breaks:
    """Breaks off once, behind the step of that number."""
    left = at

    def breaks(passed: Step) -> bool:
        nonlocal left
        left -= passed == step
        return passed == step and left == 0

    return breaks


class OutboxSuite:
    """What every pair of engines does. Subclass it with a fixture `open_pair`, see `OpenPair`.

    `start_ns` is the time at which the tests begin: one to come, for a log whose server forgets by a clock of its own.
    """

    pytestmark: ClassVar[list[pytest.MarkDecorator]] = [pytest.mark.asyncio]
    start_ns: ClassVar[int] = START_NS
    rounds: ClassVar[int] = 8
    """Of the random play."""

    @pytest_asyncio.fixture
    async def outbox(self, open_pair: OpenPair) -> AsyncIterator[Outbox]:
        """A pair with an empty topic and empty tables."""
        outbox = Outbox(open_pair, VirtualEnvironment(1, self.start_ns))
        await outbox.open()
        yield outbox
        await outbox.close()

    async def test_what_was_intended_is_applied_and_the_group_is_behind_it(self, outbox: Outbox) -> None:
        await outbox.intend(10)
        await outbox.applier().apply()
        await outbox.check()

    @pytest.mark.parametrize("step", STEPS)
    async def test_who_breaks_off_is_followed_by_one_who_does_the_rest(self, outbox: Outbox, step: Step) -> None:
        await outbox.intend(10, once(step, 2))
        try:
            await outbox.applier().apply(once(step, 2))
        except Broken:
            await outbox.check_position()
        await outbox.finish()
        await outbox.check()

    async def test_engines_that_start_again_go_on_where_the_applier_broke_off(self, outbox: Outbox) -> None:
        await outbox.intend(8)
        with pytest.raises(Broken):
            await outbox.applier().apply(once("amid", 5))
        await outbox.reopen()
        await outbox.check_position()
        await outbox.intend(4)
        await outbox.finish()
        await outbox.check()

    async def test_what_is_delivered_again_is_applied_once(self, outbox: Outbox) -> None:
        await outbox.intend(9)
        await outbox.finish()
        await outbox.forget_positions()
        await outbox.finish()
        assert outbox.applied == 18, "everything was delivered twice"
        await outbox.check()

    async def test_what_is_appended_again_long_after_it_was_applied_changes_nothing(self, outbox: Outbox) -> None:
        await outbox.intend(9)
        await outbox.finish()
        for intent in outbox.intents[:3]:
            await outbox.pair.log.append(TOPIC, [intent.entry])
        await outbox.finish()
        assert outbox.applied == 12, "three were delivered twice"
        await outbox.check()

    async def test_appliers_share_the_work_and_one_takes_over_from_another(self, outbox: Outbox) -> None:
        await outbox.intend(16)
        first, second = outbox.applier(), outbox.applier()
        for applier in (first, second) * 3:
            # Who has lost its share to the other learns of it by a commit that is refused.
            await applier.read()
            await applier.write()
            await applier.commit()
            await outbox.check_position()
        shares = [each.consumer.assignment.partitions[TOPIC] for each in (first, second) if each.consumer.assignment]
        assert sorted(number for share in shares for number in share) == list(range(PARTITIONS)), "none is shared"
        await first.read()
        await second.apply()
        await outbox.finish()
        await outbox.check()

    async def test_who_was_shut_out_moves_no_position(self, outbox: Outbox) -> None:
        await outbox.intend(12)
        late = outbox.applier()
        await late.read()
        outbox.pass_session()
        follower = outbox.applier()
        await follower.apply()
        before = await outbox.committed()
        await late.write()
        assert not await late.commit(), "its share is another's"
        assert await outbox.committed() == before
        await outbox.check()

    async def test_who_was_shut_out_takes_no_position_back(self, outbox: Outbox) -> None:
        await outbox.intend(12)
        late = outbox.applier()
        await late.read()
        await late.write()
        outbox.pass_session()
        await outbox.finish()
        assert not await late.commit(), "its share went to another"
        await outbox.check()

    async def test_two_who_apply_the_same_at_once_have_one_effect(self, outbox: Outbox) -> None:
        await outbox.intend(6)
        late = outbox.applier()
        await late.read()
        outbox.pass_session()
        follower = outbox.applier()
        while await follower.read():
            await follower.write()
            await late.write()
            await follower.commit()
        await outbox.check()

    async def test_whatever_breaks_off_nothing_is_lost_and_nothing_is_applied_twice(self, outbox: Outbox) -> None:
        await play(outbox, self.rounds)
        assert outbox.applied > len(outbox.intents), "something was applied again, or nothing was shown"
