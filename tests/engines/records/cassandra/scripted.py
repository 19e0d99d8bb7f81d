"""A session of the driver that answers as it is told to, at once or when the test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.records.cassandra.catalogue import Table
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.cassandra.options import parse_address
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.cassandra.statements import Statements
from soundstage.engines.records.port import TableSpec

URL = "cassandra://127.0.0.1/films?in_flight=2&waiting=1"
ADDRESS = parse_address("main", urlsplit(URL), {}, None)


class Response:
    """A request under way."""

    def __init__(self, request: Any, timeout: float) -> None:
        self.request = request
        self.timeout = timeout
        self._callbacks: tuple[Callable[..., None], Callable[..., None], tuple[Any, ...]] | None = None
        self._answer: Any = None
        self._answered = False

    def add_callbacks(
        self,
        callback: Callable[..., None],
        errback: Callable[..., None],
        callback_args: tuple[Any, ...],
        errback_args: tuple[Any, ...],
    ) -> None:
        self._callbacks = callback, errback, callback_args
        assert callback_args == errback_args
        if self._answered:
            self.answer(self._answer)

    def answer(self, answer: Any) -> None:
        """Rows, or an exception, arrive."""
        self._answer, self._answered = answer, True
        if self._callbacks is not None:
            callback, errback, arguments = self._callbacks
            (errback if isinstance(answer, Exception) else callback)(answer, *arguments)


class Session:
    """Gives `answers` one after another; with none left, requests stay under way."""

    def __init__(self, answers: Sequence[Any] = ()) -> None:
        self.answers = list(answers)
        self.sent: list[Response] = []

    def execute_async(self, request: Any, timeout: float) -> Response:
        response = Response(request, timeout)
        self.sent.append(response)
        if self.answers:
            response.answer(self.answers.pop(0))
        return response


class Bound:
    """A statement with its values."""

    def __init__(self, values: Any) -> None:
        self.values = values
        self.consistency_level: int | None = None
        self.serial_consistency_level: int | None = None


class Text(str):
    """A statement's text, whatever values go into it."""

    def __mod__(self, values: Any) -> str:
        return str(self)


class Statement:
    """One that was prepared, or one of a batch."""

    keyspace = routing_key = custom_payload = None

    def __init__(self, name: str = "") -> None:
        self.query_string = Text(name)

    def bind(self, values: Any) -> Bound:
        return Bound(values)


def requests_of(session: Session, environment: VirtualEnvironment, query: str = "") -> Requests:
    """What an engine has between itself and `session`; `query` are further options of the URL."""
    link = Link(parse_address("main", urlsplit(f"{URL}&{query}"), {}, None))
    link.session = session
    return Requests(link, environment)


def table_of(spec: TableSpec) -> Table:
    """The first table of a catalogue, with statements that can be sent."""
    return Table(spec, 1, None, Statements("rows", {name: Statement(name) for name in Statements.TEXTS}))
