"""Time series under simulation: what was acknowledged is shown once and whole, for as long as it is to be kept.

Clients write events, send them again, late and in other company, and read them back in pages while others write; the
control loop makes slices and drops them, now and then two at a time; knobs change. Some writes are queued. In most runs
there is an index, which is told, searched, wiped and made anew. Hosts end between any two calls.

    steps    what one client does
    rules    the knobs that may have been in force, and the slices there were
    book     what was sent, acknowledged and seen of every event, and what may be shown of it
    queueing what becomes of writes that are queued
    seeking  what an index shows and lacks
    play     does the steps and asks the book about every answer
"""

from __future__ import annotations

from soundstage.testing.simulation.scenario import Scenario
from soundstage.testing.simulation.timeseries.play import TimeSeriesScenario

SCENARIO: Scenario = TimeSeriesScenario()

__all__ = ["SCENARIO"]
