"""Random histories, engine beside model: what is read is a function of the set of versions alone."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from soundstage.engines.records.port import Capability
from soundstage.testing.records.bench import Bench
from soundstage.testing.records.examples import EXAMPLES
from soundstage.testing.records.histories import History, Sent, Step, histories, sent
from soundstage.testing.records.requirements import requires

MANY = settings(EXAMPLES, max_examples=100)


async def play(bench: Bench, steps: list[Step]) -> None:
    """Engine and model agree after every step."""
    if not bench.takes_example():
        return
    history = History(b"record-%d" % bench.take_number(), bench)
    for step in steps:
        await history.take(step)
        await history.check()


class Histories:
    @MANY
    @given(histories(conditional=False))
    async def test_whatever_happens_the_greatest_version_wins(self, bench: Bench, steps: list[Step]) -> None:
        await play(bench, steps)

    @requires(Capability.CONDITIONAL)
    @MANY
    @given(histories(conditional=True))
    async def test_whatever_happens_conditions_and_repetitions_are_exact(
        self, guarded: Bench, steps: list[Step]
    ) -> None:
        await play(guarded, steps)

    @MANY
    @given(st.lists(sent(conditional=False), min_size=1, max_size=9), st.randoms(use_true_random=False))
    async def test_another_order_of_arrival_reads_the_same(
        self, bench: Bench, writes: list[Sent], chance: Random
    ) -> None:
        if not bench.takes_example():
            return
        one, other = (History(b"record-%d" % bench.take_number(), bench) for _ in range(2))
        for step in writes:
            await one.take(step)
        shuffled = writes + chance.choices(writes, k=len(writes))
        chance.shuffle(shuffled)
        for step in shuffled:
            await other.take(step)
        assert await bench.page(one.record) == await bench.page(other.record)
