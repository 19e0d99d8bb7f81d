"""Whatever the driver of Cassandra raises, and every code of the protocol, is an error of the tree in every call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from cassandra import protocol as wire
from tests.engines.records.cassandra.scripted import Response, Statement
from tests.engines.records.cassandra.test_failures import KINDS
from tests.engines.walk.calls import TABLE, At, call, calls_of
from tests.engines.walk.faults import Fault, Told, refusal, told

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.records.cassandra import CassandraRecords, Link, parse_address
from soundstage.engines.records.cassandra.driver import cluster, connection, pool, protocol, root
from soundstage.engines.records.cassandra.failures import failure

CALLS = calls_of("records", CassandraRecords)
AWAY, BUSY, DEFECT = Told("unavailable", True), Told("exhausted", True), Told("internal", False)
STRANGER, FORBIDDEN = Told("unauthenticated", False), Told("forbidden", False)

CODES: dict[int, Told] = {
    0x0000: AWAY,  # server error
    0x000A: DEFECT,  # protocol error
    0x0100: STRANGER,  # bad credentials
    0x1000: AWAY,  # unavailable
    0x1001: BUSY,  # overloaded
    0x1002: AWAY,  # bootstrapping
    0x1003: AWAY,  # truncate
    0x1100: AWAY,  # write timeout
    0x1200: AWAY,  # read timeout
    0x1300: AWAY,  # read failure
    0x1400: DEFECT,  # function failure
    0x1500: AWAY,  # write failure
    0x1600: AWAY,  # change data capture
    0x2000: DEFECT,  # syntax
    0x2100: FORBIDDEN,  # unauthorized
    0x2200: DEFECT,  # invalid
    0x2300: DEFECT,  # configuration
    0x2400: DEFECT,  # already exists
    0x2500: AWAY,  # unprepared
    0x8000: AWAY,  # a write of the client's own
}
"""What a caller is told of each code of the protocol."""

DETAILS: dict[int, Any] = {
    0x1000: {"consistency": 1, "required_replicas": 2, "alive_replicas": 1},
    0x1100: {"consistency": 1, "received_responses": 0, "required_responses": 1, "write_type": 0},
    0x1200: {"consistency": 1, "received_responses": 0, "required_responses": 1, "data_retrieved": False},
    0x1300: {
        "consistency": 1,
        "received_responses": 0,
        "required_responses": 1,
        "data_retrieved": False,
        "failures": 1,
    },
    0x1400: {"keyspace": "films", "function": "f", "arg_types": []},
    0x1500: {"consistency": 1, "received_responses": 0, "required_responses": 1, "write_type": 0, "failures": 1},
    0x2400: {"keyspace": "films", "table": "rows"},
    0x2500: b"id",
}
"""What an error of a code comes with."""


def answered(code: int) -> BaseException:
    """What the driver makes of an error that a node answers."""
    said = wire.error_classes[code](code, "said by the node", DETAILS.get(code))
    return said.to_exception() if hasattr(said, "to_exception") else said


@pytest.mark.parametrize("code", sorted(wire.error_classes), ids=hex)
@pytest.mark.parametrize("reading", [False, True])
def test_a_code_of_the_protocol_is_told_as_what_it_means(code: int, reading: bool) -> None:
    assert told(failure(answered(code), reading=reading).error) == CODES[code]


def test_no_code_of_the_protocol_is_left_out() -> None:
    assert set(CODES) == set(wire.error_classes)


REFUSED = {
    "AuthenticationFailed": STRANGER,
    "BadCredentials": STRANGER,
    "OverloadedErrorMessage": BUSY,
    "PreparedQueryNotFound": AWAY,
}
RIGHTS = {"Unauthorized", "UnauthorizedErrorMessage"}
OF_STATEMENTS = (
    root.RequestValidationException,
    root.UnsupportedOperation,
    root.FunctionFailure,
    root.DependencyException,
    protocol.RequestValidationException,
    protocol.NotSupportedError,
    protocol.ProtocolException,
)


def meaning(kind: type[Exception]) -> Told:
    """What a caller is told of a class of exceptions."""
    if kind.__name__ in RIGHTS:
        return FORBIDDEN
    return REFUSED.get(kind.__name__, DEFECT if issubclass(kind, OF_STATEMENTS) else AWAY)


def made(kind: type[Exception]) -> Exception:
    """One of a class, whatever it is made from."""
    if issubclass(kind, protocol.ErrorMessage):
        return kind(0, "said by the node", {})
    if kind is cluster.NoHostAvailable:
        return cluster.NoHostAvailable("none", {})
    error = kind.__new__(kind)
    Exception.__init__(error, "said by the driver")
    return error


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_an_exception_of_the_driver_is_told_as_what_it_means(kind: type[Exception]) -> None:
    assert told(failure(made(kind)).error) == meaning(kind)


class Prepared(Statement):
    """One that was prepared, which knows its text."""

    def bind(self, values: Any) -> Any:
        bound: Any = super().bind(values)
        bound.text = str(self.query_string)
        return bound


class Schema:
    """What the driver knows of the tables: nothing yet."""

    def __init__(self) -> None:
        self.keyspaces: dict[str, Any] = {}

    def all_hosts(self) -> list[Any]:
        return []


class Driver:
    """The session of a healthy cluster with one table and no rows, until it fails with `fault`."""

    def __init__(self) -> None:
        self.fault = Fault()
        self.raises = False
        """Whether it fails where it is called, and not in what it answers."""
        self.metadata = Schema()

    def prepare(self, text: str) -> Prepared:
        self.fault.strike()
        return Prepared(text)

    def execute_async(self, request: Any, timeout: float) -> Any:
        if self.raises:
            self.fault.strike()
        response = Done(request, timeout)
        self.fault.met += 1
        response.answer(self.fault.error or self._rows(getattr(request, "text", request)))
        return response

    def shutdown(self) -> None:
        """Nothing is open."""

    def _rows(self, text: Any) -> list[Any]:
        if text == "SELECT name, number, spec, floor FROM catalogue WHERE space = ?":
            return [("films", 1, msgspec.msgpack.encode(TABLE), None)]
        if text == "SELECT number, spec, floor FROM catalogue WHERE space = ? AND name = ?":
            return [(1, msgspec.msgpack.encode(TABLE), None)]
        if text == "SELECT last FROM numbers WHERE name = 'tables'":
            return [(1,)]
        return [(True,)] if " IF " in str(text) else []


class Done(Response):
    """A request that was answered, which may be waited for."""

    is_schema_agreed = True

    def result(self) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
async def records(driver: Driver) -> AsyncIterator[At]:
    link = Link(parse_address("walk", urlsplit("cassandra://127.0.0.1/films?patience_s=0.3"), {}, None))
    # As if another engine had connected it.
    link._users, link.session, link._cluster = 1, driver, driver
    engine = CassandraRecords(link, VirtualEnvironment())
    await engine.start()
    yield At(engine)
    driver.fault.error = None
    await engine.stop()


FAULTS: dict[str, tuple[BaseException, Told]] = {
    "nobody is there": (cluster.NoHostAvailable("none", {"a": ConnectionRefusedError()}), AWAY),
    "a connection breaks": (connection.ConnectionShutdown("closed"), AWAY),
    "no connection is free": (pool.NoConnectionsAvailable(), AWAY),
    "it is too slow": (root.OperationTimedOut(), AWAY),
    "a node is too slow": (answered(0x1100), AWAY),
    "replicas are missing": (answered(0x1000), AWAY),
    "it has too much to do": (answered(0x1001), BUSY),
    "who asks is not known": (answered(0x0100), STRANGER),
    "no right": (answered(0x2100), FORBIDDEN),
    "a statement is wrong": (answered(0x2000), DEFECT),
}


@pytest.mark.parametrize("raises", [False, True], ids=["answered", "raised"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", CALLS)
async def test_no_exception_of_the_driver_passes_a_call(
    records: At, driver: Driver, name: str, fault: str, raises: bool
) -> None:
    driver.raises = raises
    driver.fault.error, expected = FAULTS[fault]
    error = await refusal(call("records", name, records))
    assert driver.fault.met
    assert error is not None
    assert told(error) == expected
