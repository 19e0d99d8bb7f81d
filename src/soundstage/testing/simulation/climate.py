"""What can go wrong in one run. It is drawn from the seed like everything else, so that runs differ in kind too."""

from __future__ import annotations

from random import Random

import msgspec

from soundstage.testing.simulation.faults import HEALTHY, FaultRates
from soundstage.testing.simulation.network import QUIET, NetworkRates

CLIENTS_MAX = 6


class Climate(msgspec.Struct, frozen=True, kw_only=True):
    """The faults of a run's rough weather, and what holds in any weather.

    `busy_s` is how long machines work, at most, between two looks at a clock; `executor_s` how long work off the loop
    takes; `latency_s` how long a request and its answer travel, at most, when nothing is wrong. `skew_s` bounds how
    far clocks are off. `fair` is the share of fair weather.
    """

    clients: int = 4
    port: FaultRates = HEALTHY
    network: NetworkRates = QUIET
    latency_s: float = 0.0
    busy_s: float = 0.0
    executor_s: float = 0.0
    skew_s: float = 0.0
    fair: float = 0.5


FAIR = Climate()
"""Nothing ever fails."""


def draw_climate(random: Random, takes_parts: bool) -> Climate:
    """The climate of one run; `takes_parts` says whether its storage may be made to apply a batch in part."""
    return Climate(
        clients=random.randint(2, CLIENTS_MAX),
        port=FaultRates(
            lost_before=_rate(random, 0.06),
            timed_out_before=_rate(random, 0.03),
            lost_after=_rate(random, 0.06),
            timed_out_after=_rate(random, 0.03),
            partial=_rate(random, 0.3) if takes_parts and random.random() < 0.3 else 0.0,
            late=_rate(random, 0.08),
            early_page=_rate(random, 0.3),
            slow_partitions=_rate(random, 0.2),
            late_s=random.choice((0.01, 0.5, 3.0)),
            slow_s=random.choice((0.001, 0.1)),
        ),
        network=NetworkRates(
            request_lost=_rate(random, 0.04),
            answer_lost=_rate(random, 0.06),
            held_up=_rate(random, 0.2),
            twice=_rate(random, 0.05),
            hedged=_rate(random, 0.3),
            held_up_s=random.choice((0.001, 0.1, 1.0)),
        ),
        latency_s=random.choice((0.0, 0.000_2, 0.002)),
        busy_s=random.choice((0.0, 0.0, 0.0, 0.000_2)),
        executor_s=random.choice((0.0, 0.01, 0.05)),
        skew_s=random.choice((0.0, 0.5, 1.5)),
        fair=random.choice((0.2, 0.5, 0.8)),
    )


def _rate(random: Random, most: float) -> float:
    """Often nothing at all, so that faults are met alone as well as together."""
    return random.choice((0.0, random.uniform(0.0, most)))
