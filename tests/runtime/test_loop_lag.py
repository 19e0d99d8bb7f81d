from __future__ import annotations

import asyncio

from soundstage.core.environment import VirtualEnvironment
from soundstage.runtime.loop_lag import LoopLag

MS = 1_000_000


class Busy(VirtualEnvironment):
    """A clock on which every sleep takes this much longer, as on a loop that is held."""

    def __init__(self, late_s: float) -> None:
        super().__init__()
        self._late_s = late_s

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds + self._late_s)


async def test_a_free_loop_has_no_lag() -> None:
    lag = LoopLag(VirtualEnvironment())
    await lag.sample()
    assert lag.lag.quantile(1.0) == lag.lag.bounds[0]


async def test_the_lag_is_what_sleeps_take_too_long() -> None:
    lag = LoopLag(Busy(0.015))
    for _ in range(4):
        await lag.sample()
    assert lag.lag.quantile(0.99) == 20 * MS
    assert lag.lag.count == 4


async def test_it_samples_until_cancelled() -> None:
    lag = LoopLag(VirtualEnvironment())
    role = asyncio.ensure_future(lag.run())
    for _ in range(10):
        await asyncio.sleep(0)
    role.cancel()
    assert lag.lag.count > 3
