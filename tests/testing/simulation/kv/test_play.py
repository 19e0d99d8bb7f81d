from __future__ import annotations

from random import Random

import pytest
from tests.testing.simulation.kv.stand import step
from tests.testing.simulation.theatre import at_site

from soundstage.data.kv.api import KeyValue
from soundstage.testing.simulation.kv import SCENARIO
from soundstage.testing.simulation.kv.play import KeyValuePlay
from soundstage.testing.simulation.kv.scene import NAMESPACE
from soundstage.testing.simulation.scenario import Divergence, Site

REQUIRED = {
    "equal_us",
    "reused_token",
    "late_under_marker",
    "late_under_range",
    "late_under_record",
    "expiry_boundary",
    "conditional_retry_after_overwrite",
}
"""What `semantics.md` wants to be met by one step in a hundred at least."""


def test_the_scenario_demands_what_the_semantics_do() -> None:
    assert set(SCENARIO.situations) >= REQUIRED
    assert min(SCENARIO.situations[name] for name in REQUIRED) >= 0.01


def test_everything_is_read_at_the_end() -> None:
    async def body(site: Site) -> int:
        play = KeyValuePlay(site, Random(1))
        await play.prepare()
        await play.play(step("put", keys=(b"a", b"b")))
        await play.play(step("delete", shape="marker", keys=(b"b",)))
        await play.settle()
        return (await site.host.stage.client(KeyValue, NAMESPACE).count_items(id="alpha")).count

    assert at_site(body) == 1


def test_a_store_that_lost_something_diverges_at_the_end() -> None:
    async def body(site: Site) -> None:
        play = KeyValuePlay(site, Random(1))
        await play.prepare()
        await play.play(step("put"))
        await site.host.engine.drop_table(f"kv/{NAMESPACE}")
        await site.host.restart("kill", 0.0)
        await play.settle()

    with pytest.raises(Divergence, match="b'a' shows None"):
        at_site(body)
