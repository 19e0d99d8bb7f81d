"""Random histories end as a plain list of everything that was ever appended says they may."""

from __future__ import annotations

import itertools

from hypothesis import given

from soundstage.engines.log.port import LogCapability
from soundstage.testing.log.bench import LogBench
from soundstage.testing.log.histories import Player, Step, histories
from soundstage.testing.records.examples import EXAMPLES
from soundstage.testing.records.requirements import requires

_numbers = itertools.count()


class Histories:
    @EXAMPLES
    @given(histories(compact=False))
    async def test_random_histories_hold_what_was_appended(self, bench: LogBench, steps: list[Step]) -> None:
        await Player(bench, f"history/{next(_numbers)}", compact=False).play(steps)

    @requires(LogCapability.EXACT)
    @EXAMPLES
    @given(histories(compact=True))
    async def test_random_histories_are_compacted_to_their_newest(self, bench: LogBench, steps: list[Step]) -> None:
        await Player(bench, f"history/{next(_numbers)}", compact=True).play(steps)
