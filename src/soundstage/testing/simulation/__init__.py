"""Whole stages in virtual time, with everything that can fail failing as a seed says.

    for episode in episodes(find_scenario("kv"), find_storages("memory"), seed=42, steps=10_000):
        outcome = episode.play()
        assert outcome.divergence is None

    loop, environment      time as a number, and a process's view of it
    turn, climate          the dice of each step, and what a run can suffer from
    faults, network        failures at the records port, and between clients and host
    storage, disk, host    what outlives a process, and the process
    process                other processes beside the host: killed, paused, with clocks of their own
    scenario               what a system brings: steps, and a judge of the answers
    disturbance            the steps that every scenario meets
    linearizer             a judge for whatever has a state that fits into a value
    episode, coverage      one run from its seed to its end, and what it went through
    shrink                 the fewest steps that lead to a divergence
    kv                     the scenario of the key-value store
    caches                 that of its cache tier: two servers, one store, one cache
    leases, schedule       those of leases and of timed work, in several processes
    jobs, jobs_book        that of jobs, and what is known of each
    chores, blobs          the system whose jobs they are, and where their files are
    files, shelf           that of blobs in a folder, and the machines that end under it

`python -m soundstage.testing.simulate` is the command line; `docs/testing.md` shows a scenario being written.
"""

from __future__ import annotations

from soundstage.testing.simulation.episode import Episode, Outcome, episodes
from soundstage.testing.simulation.linearizer import Linearizer
from soundstage.testing.simulation.loop import Deadlock, OutsideTheSimulation, SimulationLoop, run, running_loop
from soundstage.testing.simulation.scenario import Divergence, Play, Scenario, Site, Step
from soundstage.testing.simulation.scenarios import find_scenario, find_storages
from soundstage.testing.simulation.shrink import shrink
from soundstage.testing.simulation.storage import Storage, Storages

__all__ = [
    "Deadlock",
    "Divergence",
    "Episode",
    "Linearizer",
    "Outcome",
    "OutsideTheSimulation",
    "Play",
    "Scenario",
    "SimulationLoop",
    "Site",
    "Step",
    "Storage",
    "Storages",
    "episodes",
    "find_scenario",
    "find_storages",
    "run",
    "running_loop",
    "shrink",
]
