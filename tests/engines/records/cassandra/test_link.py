"""The part of a connection that needs no server."""

from __future__ import annotations

import asyncio
import threading
from itertools import islice
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from cassandra import cluster, policies

from soundstage.core.errors import Unavailable
from soundstage.engines.records.cassandra.driver import LEVELS, SERIAL
from soundstage.engines.records.cassandra.link import RECONNECT_LAST_S, Link, reconnection, server_name
from soundstage.engines.records.cassandra.options import parse_address
from soundstage.engines.records.cassandra.routing import any_replica

ONE = LEVELS["one"]


class Slow(Link):
    """A connection that is made and closed when the test says so."""

    def __init__(self) -> None:
        super().__init__(parse_address("main", urlsplit("cassandra://127.0.0.1/films"), {}, None))
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.shut = threading.Event()

    def _connect(self) -> None:
        self.begun.set()
        assert self.may_end.wait(60)

    def _shut(self) -> None:
        self.shut.set()


async def test_who_is_cancelled_while_it_connects_leaves_no_connection() -> None:
    link = Slow()
    taking = asyncio.ensure_future(link.take())
    await asyncio.to_thread(link.begun.wait, 60)
    taking.cancel()
    await asyncio.wait((taking,))
    link.may_end.set()
    assert await asyncio.to_thread(link.shut.wait, 60)


async def test_who_waits_until_it_is_connected_holds_it() -> None:
    link = Slow()
    link.may_end.set()
    await link.take()
    held = not link.shut.is_set()
    await link.give_back()
    assert (held, link.shut.is_set()) == (True, True)


def test_a_node_that_is_gone_for_hours_is_still_looked_for_every_few_seconds() -> None:
    pauses = list(islice(reconnection().new_schedule(), 5_000))
    assert len(pauses) == 5_000
    assert max(pauses) <= RECONNECT_LAST_S


class Noted:
    """A cluster of the driver that notes how it is to be, and reaches nobody."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def connect(self) -> None:
        raise Reached(self.settings)

    def shutdown(self) -> None:
        pass


class Reached(Exception):
    """Carries the settings."""


def test_a_request_goes_to_any_who_has_the_row_and_is_sent_again_by_nobody_but_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "Cluster", Noted)
    with pytest.raises(Reached) as reached:
        Link(parse_address("main", urlsplit("cassandra://127.0.0.1/films"), {}, None)).hold()
    profile = reached.value.args[0]["execution_profiles"][cluster.EXEC_PROFILE_DEFAULT]
    assert type(profile.load_balancing_policy) is type(any_replica(policies.RoundRobinPolicy()))
    assert isinstance(profile.retry_policy, policies.FallthroughRetryPolicy)
    assert type(profile.speculative_execution_policy) is policies.NoSpeculativeExecutionPolicy


class Session:
    """A session of the driver whose nodes agree on the tables, or do not; it notes what is prepared and carried out."""

    def __init__(self, *, agreed: bool = True) -> None:
        self.is_schema_agreed = agreed
        self.prepared: list[str] = []
        self.done: list[str] = []

    def prepare(self, statement: str) -> str:
        self.prepared.append(statement)
        return f"prepared {statement}"

    def execute_async(self, statement: str, timeout: float) -> Session:
        self.done.append(statement)
        return self

    def result(self) -> None:
        pass


def linked(session: Session) -> Link:
    link = Link(parse_address("main", urlsplit("cassandra://127.0.0.1/films"), {}, None))
    link.session = session
    return link


async def test_a_change_of_tables_is_made_when_all_nodes_agree() -> None:
    session = Session()
    await linked(session).change_schema("CREATE TABLE films")
    assert session.done == ["CREATE TABLE films"]


async def test_a_change_of_tables_on_which_nodes_do_not_agree_is_told_and_may_be_repeated() -> None:
    with pytest.raises(Unavailable, match="do not agree on the tables") as refused:
        await linked(Session(agreed=False)).change_schema("CREATE TABLE films")
    assert (refused.value.retryable, refused.value.outcome) == (True, "unknown")


async def test_each_statement_is_prepared_once() -> None:
    session = Session()
    link = linked(session)
    found = [await link.prepare("a", "b"), await link.prepare("b", "c")]
    assert found == [["prepared a", "prepared b"], ["prepared b", "prepared c"]]
    assert session.prepared == ["a", "b", "c"]


class Metadata:
    """Of three nodes two have the row."""

    def get_replicas(self, keyspace: str, key: bytes) -> list[str]:
        return ["one", "two"]


@pytest.mark.parametrize(("level", "serial", "orders"), [(ONE, None, 2), (ONE, SERIAL, 1), (SERIAL, None, 1)])
def test_any_replica_is_first_but_of_what_is_decided(
    monkeypatch: pytest.MonkeyPatch, level: int, serial: int | None, orders: int
) -> None:
    def usual(*given: Any) -> Any:
        return iter(["one", "two", "three"])

    monkeypatch.setattr(policies.TokenAwarePolicy, "make_query_plan", usual)
    routing = any_replica(policies.RoundRobinPolicy())
    routing._cluster_metadata = Metadata()
    query = SimpleNamespace(
        keyspace="films", routing_key=b"k", consistency_level=level, serial_consistency_level=serial
    )
    plans = {tuple(routing.make_query_plan("films", query)) for _ in range(200)}
    assert (len(plans), {plan[2:] for plan in plans}) == (orders, {("three",)})


@pytest.mark.parametrize(
    ("hosts", "query", "named"),
    [
        ("10.0.0.1,10.0.0.2", "tls_ca=ca.pem", None),
        ("one.example,two.example", "tls_ca=ca.pem", None),
        ("ring.example", "tls_ca=ca.pem", "ring.example"),
        ("10.0.0.1", "tls_ca=ca.pem", None),
        ("10.0.0.1,10.0.0.2", "tls_ca=ca.pem&tls_server_name=ring.example", "ring.example"),
        ("ring.example", "tls_ca=ca.pem&tls_names=false", None),
        ("ring.example", "", None),
    ],
)
def test_certificates_name_the_node_that_shows_them_unless_one_name_is_of_all(
    hosts: str, query: str, named: str | None
) -> None:
    address = parse_address("main", urlsplit(f"cassandra://{hosts}/films?{query}"), {}, None)
    assert server_name(address) == (None if named is None else {"server_hostname": named})
