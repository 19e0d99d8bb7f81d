from __future__ import annotations

from collections import Counter
from random import Random

import msgspec
import pytest
from tests.testing.simulation.theatre import at_site

from soundstage.core.errors import SoundstageError, Unavailable
from soundstage.data.kv.api import KeyValue, PutItem
from soundstage.runtime.namespaces.api import Namespaces, NamespaceSpec
from soundstage.runtime.tokens.api import Tokens
from soundstage.testing.simulation.climate import Climate
from soundstage.testing.simulation.faults import FaultRates
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Divergence, Site, Step
from soundstage.testing.simulation.turn import Turn, aside, taking


async def client_of(site: Site, number: int) -> KeyValue:
    await site.host.stage.client(Namespaces).put(namespace=NamespaceSpec(name="home", abstraction="kv"))
    return site.client(number, KeyValue, "home")


def test_there_are_as_many_machines_as_the_climate_has_clients() -> None:
    async def body(site: Site) -> int:
        with pytest.raises(IndexError):
            site.machine(2)
        assert site.climate.clients == 2
        return len({id(site.machine(number)) for number in range(2)})

    assert at_site(body, climate=Climate(clients=2)) == 2


def test_each_machine_has_a_clock_and_dice_of_its_own() -> None:
    async def body(site: Site) -> tuple[float, bool]:
        one, other = site.machine(0).environment, site.machine(1).environment
        one.skew_s = 1.5
        return other.skew_s, one.random.random() == other.random.random()

    assert at_site(body) == (0.0, False)


def test_the_machines_of_one_seed_are_the_same_in_every_run() -> None:
    async def body(site: Site) -> list[float]:
        return [site.machine(number).environment.random.random() for number in range(3)]

    assert at_site(body, seed="a") == at_site(body, seed="a") != at_site(body, seed="b")


def test_a_client_calls_the_host_through_its_machine() -> None:
    async def body(site: Site) -> list[bytes]:
        kv = await client_of(site, 1)
        await kv.put_items(id="r", items=[PutItem(key=b"k", value=b"v")])
        assert site.machine(1).clock.token().generation_time > 0
        return [item.key for item in (await site.client(0, KeyValue, "home").get_items(id="r")).items]

    assert at_site(body) == [b"k"]


def test_a_situation_is_noted_once_in_the_turn_that_got_into_it() -> None:
    async def body(site: Site) -> set[str]:
        turn = Turn(Random(1))
        with taking(turn):
            site.note("rare")
            site.note("rare")
        return turn.situations

    assert at_site(body) == {"rare"}


def test_what_belongs_to_no_turn_notes_nothing() -> None:
    async def body(site: Site) -> set[str]:
        turn = Turn(Random(1))
        with taking(turn), aside():
            site.note("rare")
        return turn.situations

    assert at_site(body) == set()


def test_what_is_told_makes_the_digest_and_when_it_was_told_too() -> None:
    async def digest(site: Site, *told: str, after_s: float = 0.0) -> str:
        await site.environment.sleep(after_s)
        for line in told:
            site.tell(line)
        return site.digest

    def of(*told: str, after_s: float = 0.0) -> str:
        return at_site(lambda site: digest(site, *told, after_s=after_s))

    assert of("a", "b") == of("a", "b")
    assert len({of("a", "b"), of("b", "a"), of("a"), of("a", "b", after_s=1.0)}) == 4


def test_lines_are_kept_only_where_somebody_will_read_them() -> None:
    async def body(site: Site) -> list[str] | None:
        site.tell("unread")
        assert site.transcript is None
        site.transcript = []
        site.tell("read")
        return site.transcript

    assert at_site(body) == ["0 read"]


def test_answers_and_refusals_of_every_client_are_told() -> None:
    async def body(site: Site) -> list[str]:
        kv = await client_of(site, 1)
        site.transcript = []
        await kv.count_items(id="r")
        with pytest.raises(SoundstageError):
            await kv.count_items(id="")
        return [line.split("(")[0] for line in site.transcript]

    assert at_site(body) == ["0 client 1 kv/count_items CountItemsReply", "0 client 1 kv/count_items InvalidArgument"]


def test_faults_of_port_and_network_are_counted_by_where_they_struck() -> None:
    async def body(site: Site) -> Counter[str]:
        kv = (await client_of(site, 0)).with_options(retries=0)
        site.host.set_rates(FaultRates(lost_before=1.0))
        with pytest.raises(Unavailable):
            await kv.count_items(id="r")
        return site.faults()

    assert at_site(body) == Counter(port_lost_before=1)


def test_tables_that_are_spared_meet_no_fault() -> None:
    async def body(site: Site) -> str:
        site.host.set_rates(FaultRates(lost_before=1.0, lost_after=1.0))
        return (await site.client(0, Tokens).create(name="ci", roles=["read"])).info.name

    assert "system/tokens" in SYSTEM_TABLES
    assert at_site(body) == "ci"


def test_a_step_prints_what_it_chose_and_no_more() -> None:
    assert msgspec.json.encode(Step(number=3, client=1)) == b'{"number":3,"client":1}'
    assert msgspec.json.encode(Step(number=3, client=1, pause_s=0.5)) == b'{"number":3,"client":1,"pause_s":0.5}'


def test_a_divergence_is_an_assertion_that_failed() -> None:
    assert issubclass(Divergence, AssertionError)
    assert not issubclass(Divergence, SoundstageError)
