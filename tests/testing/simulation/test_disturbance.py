from __future__ import annotations

import asyncio
from random import Random

import pytest
from tests.testing.simulation.theatre import at_site, noted

from soundstage.core.errors import DeadlineExceeded
from soundstage.core.message import Duration
from soundstage.data.kv.api import KeyValue, PutItem
from soundstage.runtime.namespaces.api import Namespaces, NamespaceSpec
from soundstage.runtime.tokens.api import Tokens
from soundstage.testing.simulation.climate import Climate
from soundstage.testing.simulation.disturbance import Act, Disturbance, disturb, draw_disturbance
from soundstage.testing.simulation.faults import HEALTHY, FaultRates
from soundstage.testing.simulation.network import QUIET, NetworkRates
from soundstage.testing.simulation.scenario import Site
from soundstage.testing.simulation.storage import End

ROUGH = Climate(port=FaultRates(late=0.5), network=NetworkRates(twice=0.5), skew_s=2.0)


def step(act: Act, **choices: object) -> Disturbance:
    return Disturbance(number=0, client=1, act=act, **choices)  # type: ignore[arg-type]


def test_weather_turns_rough_and_fair_again() -> None:
    async def body(site: Site) -> None:
        await disturb(site, step("weather", rough=True))
        assert (site.host.engine.rates, site.network.rates) == (ROUGH.port, ROUGH.network)
        await disturb(site, step("weather", rough=False))
        assert (site.host.engine.rates, site.network.rates) == (HEALTHY, QUIET)

    at_site(body, climate=ROUGH)


def test_the_host_s_clock_steps_within_the_climate_s_skew() -> None:
    async def body(site: Site) -> tuple[float, int]:
        await disturb(site, step("host_clock", skew=-0.5))
        return site.environment.skew_s, site.environment.clock_steps

    assert at_site(body, climate=ROUGH) == (-1.0, 1)


def test_a_client_s_clock_steps_and_the_others_stay() -> None:
    async def body(site: Site) -> list[float]:
        await disturb(site, step("client_clock", skew=1.0))
        return [site.machine(number).environment.skew_s for number in range(3)]

    assert at_site(body, climate=ROUGH) == [0.0, 2.0, 0.0]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_host_ends_and_comes_back(end: End) -> None:
    async def body(site: Site) -> tuple[int, bool, float, set[str]]:
        await disturb(site, step("end", end=end, down_s=3.0))
        return site.host.restarts, site.host.is_up, site.environment.monotonic_ns() / 1e9, noted()

    assert at_site(body) == (1, True, 3.0, {f"host_{end}"})


def test_a_sweep_of_nothing_due_notes_nothing() -> None:
    async def body(site: Site) -> set[str]:
        await disturb(site, step("sweep", rows=10))
        return noted()

    assert at_site(body) == set()


def test_rounds_are_those_of_the_stage() -> None:
    async def body(site: Site) -> bytes:
        await disturb(site, step("rounds"))
        return site.host.stage.metrics_text()

    assert b'rounds_total{round="namespace poller"} 1' in at_site(body)


@pytest.mark.parametrize("act", ["sweep", "rounds"])
def test_a_host_that_is_down_does_no_work(act: Act) -> None:
    async def body(site: Site) -> set[str]:
        restart = asyncio.ensure_future(site.host.restart("kill", 5.0))
        await site.environment.sleep(1.0)
        await disturb(site, step(act, rows=10))
        await restart
        return noted()

    assert at_site(body) == {"host_was_down"}


def test_a_rest_lasts() -> None:
    async def body(site: Site) -> float:
        await disturb(site, step("rest", rest_s=700.0, rough=True, rows=10))
        return site.environment.monotonic_ns() / 1e9

    assert at_site(body) == 700.0


def test_a_rest_begins_when_every_request_has_ended() -> None:
    async def body(site: Site) -> tuple[int, float]:
        site.network.rates = NetworkRates(held_up=1.0, held_up_s=60.0)
        with pytest.raises(DeadlineExceeded):
            await site.client(0, Tokens).with_options(retries=0).list()
        under_way, began_s = site.network.under_way, site.environment.monotonic_ns() / 1e9
        await disturb(site, step("rest", rest_s=5.0))
        return under_way, site.environment.monotonic_ns() / 1e9 - began_s

    under_way, lasted_s = at_site(body)
    assert under_way == 1
    assert 5.0 < lasted_s < 66.0


@pytest.mark.parametrize(("rough", "situations"), [(True, {"purged"}), (False, set[str]())])
def test_a_rough_rest_ends_with_a_sweep(rough: bool, situations: set[str]) -> None:
    async def body(site: Site) -> set[str]:
        await site.host.stage.client(Namespaces).put(namespace=NamespaceSpec(name="home", abstraction="kv"))
        kv = site.client(0, KeyValue, "home")
        await kv.put_items(id="r", items=[PutItem(key=b"k", value=b"v", ttl=Duration(1_000_000_000))])
        await disturb(site, step("rest", rest_s=7_200.0, rough=rough, rows=1_000))
        return noted()

    assert at_site(body) == situations


def test_disturbances_are_of_every_kind() -> None:
    drawn = [draw_disturbance(Random(seed), seed, 0, 0.5, ("stop", "kill", "power")) for seed in range(300)]
    assert {each.act for each in drawn} == {"weather", "host_clock", "client_clock", "sweep", "rounds", "end", "rest"}
    assert {each.end for each in drawn} == {"stop", "kill", "power"}
    assert {each.rough for each in drawn} == {True, False}


def test_the_climate_says_how_often_the_weather_is_fair() -> None:
    drawn = [draw_disturbance(Random(seed), seed, 0, 1.0, ("stop",)) for seed in range(100)]
    assert not any(each.rough for each in drawn)
