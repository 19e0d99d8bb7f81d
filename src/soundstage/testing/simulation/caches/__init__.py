"""The cache tier of the key-value store under simulation: two servers, one store, one cache, and faults in all of them.

shared    the cache of all, and each process's way to it
server    a server that is killed, paused and started anew
book      what readers may be shown
crew      who has heard of what
sets, truncations   what changes several records, or all
play      the steps of the clients, and what happens meanwhile
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, get_args

from soundstage.testing.simulation.caches.play import KEYS, RECORDS, SERVERS, Act, CachesPlay, CacheStep
from soundstage.testing.simulation.host import CONFIG
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Play, Scenario, Site

_WEIGHTS = (16, 4, 1, 54, 10, 1, 1, 2, 4, 3, 3, 5, 4, 3, 3, 0.1, 0.3)
_AGES_S = (0.0, 0.0, 0.0, 1.0, 30.0)
_ENDS_S = (0.0, 0.5, 3.0)
_PAUSES_S = (0.5, 5.0, 20.0, 45.0)
_WAITS_S = (1.0, 5.0, 60.0, 100.0)


class CachesScenario:
    """See `soundstage.testing.simulation.scenario`."""

    system = "caches"
    spared: frozenset[str] = SYSTEM_TABLES
    config: Mapping[str, Any] = {"engines": {**CONFIG["engines"], "hot": {"url": "lru:"}}}
    situations: Mapping[str, float] = {
        "told": 0.05,
        "untold": 0.01,
        "uncertain": 0.01,
        "hit": 0.05,
        "own": 0.05,
        "read": 0.1,
        "behind": 0.001,
        "died_owing": 0.000_5,
        "evicted": 0.01,
        "node_gone": 0.005,
        "cut_off": 0.005,
        "paused": 0.002,
        "swapped": 0.005,
        "accepted": 0.01,
        "applied": 0.005,
        "truncated": 0.000_1,
        "erased": 0.000_2,
    }

    def draw(self, random: Random, number: int, client: int) -> CacheStep:
        act: Act = random.choices(get_args(Act), _WEIGHTS)[0]
        waits = {"pause": _PAUSES_S, "wait": _WAITS_S, "node": _WAITS_S, "cut_off": _ENDS_S}.get(act, _ENDS_S)
        return CacheStep(
            number=number,
            client=client,
            pause_s=random.choice((0.0, 0.0, 0.001, 0.02, 0.5, 3.0)),
            act=act,
            server=random.randrange(SERVERS),
            record=random.choices(RECORDS, (4, 2, 1, 1, 1))[0],
            keys=tuple(random.sample(KEYS, random.randint(1, len(KEYS)))),
            age_s=random.choice(_AGES_S),
            ttl_s=random.choice((0.0, 0.0, 0.0, 1.0, 20.0)),
            patient=random.random() < 0.7,
            own=random.random() < 0.4,
            for_s=random.choice(waits),
            skew=random.uniform(-1.0, 1.0),
            choice=random.randrange(60),
        )

    def open(self, site: Site, random: Random) -> Play:
        return CachesPlay(site, random)


SCENARIO: Scenario = CachesScenario()
