"""Steps that every scenario meets besides its own: the weather changes, clocks step, the sweeper runs, hosts end."""

from __future__ import annotations

from random import Random
from typing import Literal, TypeAlias

from soundstage.core.errors import Unavailable
from soundstage.testing.simulation.faults import HEALTHY
from soundstage.testing.simulation.network import QUIET
from soundstage.testing.simulation.scenario import Site, Step
from soundstage.testing.simulation.storage import End

SHARE = 0.06
"""Of all steps."""

SWEEP_ROWS = (1, 5, 50, 1_000)
REST_S = (0.5, 30.0, 700.0, 7_200.0)
DOWN_S = (0.0, 0.05, 0.5)

Act: TypeAlias = Literal["weather", "host_clock", "client_clock", "sweep", "rounds", "end", "rest"]

_ACTS: tuple[Act, ...] = ("weather", "host_clock", "client_clock", "sweep", "rounds", "end", "rest")
_WEIGHTS = (28, 8, 12, 26, 4, 10, 18)


class Disturbance(Step, frozen=True, kw_only=True, tag="disturbance"):
    """`rough` is for `weather`, `skew` (from -1 to 1) for clocks, `rows` for `sweep`, `end` and `down_s` for `end`.

    A client whose clock steps starts anew: its hybrid clock forgets the times that the old one was ahead. All clients
    take a `rest` of `rest_s` together, when no call is under way: long waits of one of them would leave each alone. A
    `rough` rest ends with a sweep.
    """

    act: Act
    rough: bool = False
    skew: float = 0.0
    rows: int = 0
    end: End = "kill"
    down_s: float = 0.0
    rest_s: float = 0.0


def draw_disturbance(random: Random, number: int, client: int, fair: float, ends: tuple[End, ...]) -> Disturbance:
    """The disturbance of that number; `fair` is the share of fair weather, `ends` the ways in which hosts end."""
    return Disturbance(
        number=number,
        client=client,
        act=random.choices(_ACTS, _WEIGHTS)[0],
        rough=random.random() >= fair,
        skew=random.uniform(-1.0, 1.0),
        rows=random.choice(SWEEP_ROWS),
        end=random.choice(ends),
        down_s=random.choice(DOWN_S),
        rest_s=random.choice(REST_S),
    )


async def disturb(site: Site, step: Disturbance) -> None:
    """The disturbance has happened. What a host that is down cannot do is left out."""
    climate = site.climate
    match step.act:
        case "weather":
            site.host.set_rates(climate.port if step.rough else HEALTHY)
            site.network.rates = climate.network if step.rough else QUIET
        case "host_clock":
            site.environment.skew_s = step.skew * climate.skew_s
        case "client_clock":
            site.machine(step.client).restart(step.skew * climate.skew_s)
        case "end":
            if await site.host.restart(step.end, step.down_s):
                site.note(f"host_{step.end}")
        case "rest":
            await site.network.idle()
            await site.environment.sleep(step.rest_s)
            if step.rough:
                await _work(site, step)
        case "sweep" | "rounds":
            await _work(site, step)


async def _work(site: Site, step: Disturbance) -> None:
    try:
        if step.act == "rounds":
            await site.host.stage.run_background()
        else:
            swept = await site.host.sweep(step.rows)
            if swept.purged:
                site.note("purged")
    except Unavailable:
        site.note("host_was_down")
