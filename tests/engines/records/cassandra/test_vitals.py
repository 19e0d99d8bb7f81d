"""How the cluster does, as readiness and metrics tell it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from tests.engines.records.cassandra.scripted import ADDRESS, Session, Statement

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.records.cassandra.driver import root
from soundstage.engines.records.cassandra.erasing import Eraser
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.cassandra.requests import Failing, Requests
from soundstage.engines.records.cassandra.vitals import LOOK_EVERY_NS, LOST_AFTER_NS, REPAIR_WITHIN_S, Vitals


class Preparing(Session):
    """A session that prepares statements too."""

    def prepare(self, text: str) -> Statement:
        return Statement(text)


class Unerased(Eraser):
    """So many records could not be erased."""

    def __init__(self, overgrown: int) -> None:
        self._overgrown = overgrown

    @property
    def overgrown(self) -> int:
        return self._overgrown


class Seen:
    """Vitals of a cluster whose nodes and answers are given."""

    def __init__(
        self,
        environment: VirtualEnvironment,
        answers: Sequence[Any] = (),
        copies: Any = None,
        unerased: int = 0,
        **nodes: bool,
    ) -> None:
        link = Link(ADDRESS)
        link.session = self.session = Preparing(answers)
        hosts = [SimpleNamespace(endpoint=name, is_up=is_up, datacenter="dc1") for name, is_up in nodes.items()]
        keyspaces = {} if copies is None else {ADDRESS.keyspace: SimpleNamespace(replication_strategy=copies)}
        metadata = SimpleNamespace(all_hosts=lambda: hosts, keyspaces=keyspaces)
        link._cluster = SimpleNamespace(metadata=metadata)  # pyright: ignore[reportPrivateUsage]
        self.requests: Requests = Requests(link, environment)
        self.vitals: Vitals = Vitals(link, self.requests, Unerased(unerased), environment)

    def value(self, name: str, **labels: str) -> float | None:
        found = [
            each for each in self.vitals.measurements() if each.name == name and labels.items() <= each.labels.items()
        ]
        return found[0].value if found else None


def repaired(environment: VirtualEnvironment, days_ago: float, status: str = "SUCCESS") -> tuple[str, datetime]:
    return status, datetime.fromtimestamp(environment.now_us() / 1e6 - days_ago * 86_400, UTC)


@pytest.mark.parametrize(("passed_ns", "lost"), [(0, False), (LOST_AFTER_NS - 1, False), (LOST_AFTER_NS, True)])
async def test_a_cluster_is_lost_that_has_not_answered_for_a_while(
    environment: VirtualEnvironment, passed_ns: int, lost: bool
) -> None:
    seen = Seen(environment)
    seen.requests.failing = Failing(environment.monotonic_ns(), "no node is up")
    environment.advance(passed_ns / 1e9)
    assert (seen.vitals.lost is not None and "no node is up" in seen.vitals.lost) is lost


async def test_a_cluster_that_answers_is_not_lost(environment: VirtualEnvironment) -> None:
    seen = Seen(environment, one=True)
    assert (seen.vitals.lost, seen.vitals.warning) == (None, None)


async def test_nodes_that_are_down_are_named(environment: VirtualEnvironment) -> None:
    seen = Seen(environment, one=True, two=False, three=False)
    assert "three, two" in str(seen.vitals.warning)
    assert (seen.value("cassandra_nodes"), seen.value("cassandra_nodes_up")) == (3, 1)


async def test_what_the_cluster_says_of_dead_rows_is_told(environment: VirtualEnvironment) -> None:
    seen = Seen(environment, [[(5.0, 90)], [], [(0.0, None)], [], []])
    await seen.vitals.look()
    assert seen.value("cassandra_tombstones_per_read", table="rows", quantile="1") == 90
    assert seen.value("cassandra_tombstones_per_read", table="rows", quantile="0.99") == 5
    assert seen.value("cassandra_tombstones_per_read", table="paxos") is None


async def test_the_last_repair_that_succeeded_is_told(environment: VirtualEnvironment) -> None:
    found = [repaired(environment, 3), repaired(environment, 2), repaired(environment, 1, "FAILED"), ("STARTED", None)]
    seen = Seen(environment, [[], [], [], found, [repaired(environment, 1)]])
    await seen.vitals.look()
    assert seen.value("cassandra_repair_age_seconds") == pytest.approx(2 * 86_400)


@pytest.mark.parametrize("order", [1, -1])
async def test_of_several_tables_the_one_counts_that_was_repaired_longest_ago(
    environment: VirtualEnvironment, order: int
) -> None:
    found = [[repaired(environment, 3)], [repaired(environment, 5)]][::order]
    seen = Seen(environment, [[], [], [], *found])
    await seen.vitals.look()
    assert seen.value("cassandra_repair_age_seconds") == pytest.approx(5 * 86_400)


async def test_a_table_that_was_never_repaired_leaves_the_ring_without_an_age(environment: VirtualEnvironment) -> None:
    seen = Seen(environment, [[], [], [], [repaired(environment, 3)], []])
    await seen.vitals.look()
    assert seen.value("cassandra_repair_age_seconds") is None


async def test_the_latest_repairs_are_asked_for(environment: VirtualEnvironment) -> None:
    asked: list[str] = []
    seen = Seen(environment)
    seen.session.prepare = lambda text: asked.append(text) or Statement(text)
    seen.session.answers = [[]] * 5
    await seen.vitals.look()
    assert "ORDER BY id DESC" in asked[-1]


class Strategy:
    """How many copies a keyspace has, by data centre."""

    def __init__(self, **factors: int) -> None:
        self.dc_replication_factors: dict[str, int] = factors


@pytest.mark.parametrize(
    ("copies", "nodes", "warned"),
    [(1, 1, False), (1, 3, True), (2, 3, True), (3, 3, False), (3, 5, False), (2, 2, False)],
)
async def test_a_keyspace_that_was_made_before_its_nodes_were_there_is_warned_of(
    environment: VirtualEnvironment, copies: int, nodes: int, warned: bool
) -> None:
    seen = Seen(environment, (), Strategy(dc1=copies), **{f"n{each}": True for each in range(nodes)})
    assert (f"{copies} of 3 copies" in str(seen.vitals.warning)) is warned


async def test_of_a_keyspace_with_copies_of_another_kind_nothing_is_said(environment: VirtualEnvironment) -> None:
    assert Seen(environment, (), object(), one=True, two=True).vitals.warning is None


@pytest.mark.parametrize(("days", "nodes", "warned"), [(7, 3, False), (9, 3, True), (9, 1, False)])
async def test_a_ring_that_is_not_repaired_is_warned_of(
    environment: VirtualEnvironment, days: float, nodes: int, warned: bool
) -> None:
    assert REPAIR_WITHIN_S == 8 * 86_400
    found = [[], [], [], *[[repaired(environment, days)]] * 2]
    seen = Seen(environment, found, **{f"n{each}": True for each in range(nodes)})
    await seen.vitals.look()
    assert ("9 days ago" in str(seen.vitals.warning)) is warned


async def test_a_ring_of_which_no_repair_is_known_has_no_age(environment: VirtualEnvironment) -> None:
    seen = Seen(environment, [[]] * 5, one=True, two=True)
    await seen.vitals.look()
    assert seen.value("cassandra_repair_age_seconds") is None


@pytest.mark.parametrize("unerased", [0, 2])
async def test_records_that_cannot_be_erased_are_counted_and_warned_of(
    environment: VirtualEnvironment, unerased: int
) -> None:
    seen = Seen(environment, unerased=unerased, one=True)
    assert seen.value("cassandra_unerased_records") == unerased
    assert ("2 records of dropped tables" in str(seen.vitals.warning)) is bool(unerased)


async def test_it_is_looked_at_once_a_minute(environment: VirtualEnvironment) -> None:
    seen = Seen(environment, [[]] * 10)
    await seen.vitals.look()
    await seen.vitals.look()
    assert len(seen.session.sent) == 5
    environment.advance(LOOK_EVERY_NS / 1e9)
    await seen.vitals.look()
    assert len(seen.session.sent) == 10


async def test_a_role_that_may_not_look_goes_on_without(environment: VirtualEnvironment) -> None:
    seen = Seen(environment, [root.Unauthorized("no")])
    await seen.vitals.look()
    assert seen.value("cassandra_tombstones_per_read") is None


async def test_what_is_under_way_is_counted(environment: VirtualEnvironment) -> None:
    seen = Seen(environment)
    names = {each.name for each in seen.vitals.measurements()}
    assert {"cassandra_in_flight_requests", "cassandra_waiting_requests", "cassandra_retried_requests"} <= names
