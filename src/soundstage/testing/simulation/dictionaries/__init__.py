"""Dictionaries under simulation: made, retired and dropped while clients write, read and import with mixed codecs.

Files that are imported need dictionaries of this namespace or of another. Processes beside the host carry the jobs
out, and are killed or paused at any call that a job makes of the engine. Whoever reads a value asks for its dictionary
anew: one that a value needs is there, and what it undoes is what was written. In the end what no value needs is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from soundstage.testing.simulation.dictionaries.play import DictionaryPlay
from soundstage.testing.simulation.dictionaries.steps import DictionaryStep, draw
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Play, Scenario, Site


class DictionaryScenario:
    """See `soundstage.testing.simulation.scenario`."""

    system = "dictionaries"
    spared: frozenset[str] = SYSTEM_TABLES
    situations: Mapping[str, float] = {
        "written": 0.3,
        "worded": 0.02,
        "refused": 0.005,
        "looked": 0.05,
        "read_by_dictionary": 0.01,
        "trained": 0.003,
        "retired": 0.002,
        "unneeded": 0.002,
        "needed": 0.002,
        "dropped": 0.001,
        "imported": 0.002,
        "lacking": 0.0005,
        "killed": 0.003,
        "paused": 0.003,
    }

    def draw(self, random: Random, number: int, client: int) -> DictionaryStep:
        return draw(random, number, client)

    def open(self, site: Site, random: Random) -> Play:
        return DictionaryPlay(site)


SCENARIO: Scenario = DictionaryScenario()
