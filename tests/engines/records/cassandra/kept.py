"""A cluster that keeps its catalogue, and a process of it that dies at a chosen step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from tests.engines.records.cassandra.scripted import URL, Bound, Response, Session, Statement

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.catalogue import Catalogue
from soundstage.engines.records.cassandra.erasing import Eraser
from soundstage.engines.records.cassandra.link import Link, Settings
from soundstage.engines.records.cassandra.options import parse_address
from soundstage.engines.records.cassandra.reading import Reader
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.cassandra.statements import Ledgers, ledgers
from soundstage.engines.records.cassandra.walking import Walker
from soundstage.engines.records.port import TableSpec

SPACE = "main"


class Died(BaseException):
    """The process is no more; nothing after this line is done."""


class Named(Statement):
    """A prepared statement that is known again when it is sent."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def bind(self, values: Any) -> Bound:
        bound = Bound(values)
        bound.text = self.text  # type: ignore[attr-defined]
        return bound


class Kept:
    """What lies on the cluster."""

    def __init__(self) -> None:
        self.catalogue: dict[str, tuple[int, bytes]] = {}
        self.last: int = 0
        self.fences: dict[int, int] = {}
        self.dropped: dict[int, str] = {}
        self.rows: dict[int, set[bytes]] = {}
        self.own: set[str] = set()
        self._calls: dict[str, Callable[..., Any]] = {
            text: getattr(self, f"_{name}") for name, text in Ledgers.TEXTS.items() if hasattr(self, f"_{name}")
        }

    def put(self, spec: TableSpec, *, fence: int | None = None) -> int:
        """A table with a row, as it lies there; its number."""
        self.last += 1
        self.catalogue[spec.name] = self.last, msgspec.msgpack.encode(spec)
        if fence is not None:
            self.fences[self.last] = fence
        self.rows[self.last] = {b"record"}
        if spec.dedicated:
            self.own.add(schema.name_of(self.last, conditional=spec.conditional, dedicated=True))
        return self.last

    def answer(self, text: str, values: tuple[Any, ...]) -> Any:
        if text in self._calls:
            return self._calls[text](*values)
        if text.startswith("DELETE"):
            return self.rows.get(values[1], set[bytes]()).discard(values[2])
        return [(name, None, schema.ITEM, b"key", b"cell") for name in sorted(self.rows.get(values[2], ()))]

    def change_schema(self, statement: str) -> None:
        place = statement.split(".", 1)[1].split()[0]
        if statement.startswith("DROP"):
            self.own.discard(place)
        else:
            self.own.add(place)

    def _table(self, _: str, name: str) -> list[Any]:
        return [(*self.catalogue[name], None)] if name in self.catalogue else []

    def _tables(self, _: str) -> list[Any]:
        return [(name, *found, None) for name, found in self.catalogue.items()]

    def _add_table(self, _: str, name: str, number: int, spec: bytes) -> list[Any]:
        if name in self.catalogue:
            return [(False,)]
        self.catalogue[name] = number, spec
        return [(True,)]

    def _set_spec(self, spec: bytes, _: str, name: str, number: int) -> list[Any]:
        if name not in self.catalogue or self.catalogue[name][0] != number:
            return [(False,)]
        self.catalogue[name] = number, spec
        return [(True,)]

    def _remove_table(self, _: str, name: str, number: int) -> list[Any]:
        if name not in self.catalogue or self.catalogue[name][0] != number:
            return [(False,)]
        del self.catalogue[name]
        return [(True,)]

    def _number(self) -> list[Any]:
        return [(self.last,)]

    def _next_number(self, number: int, known: int) -> list[Any]:
        if known != self.last:
            return [(False,)]
        self.last = number
        return [(True,)]

    def _fence(self, number: int) -> list[Any]:
        return [(self.fences[number],)] if number in self.fences else []

    def _remove_fence(self, number: int) -> list[Any]:
        return [(self.fences.pop(number, None) is not None,)]

    def _dropped(self, _: str, limit: int) -> list[Any]:
        return sorted(self.dropped.items())[:limit]

    def _add_dropped(self, _: str, number: int, place: str) -> None:
        self.dropped[number] = place

    def _remove_dropped(self, _: str, number: int) -> None:
        self.dropped.pop(number, None)


class Dying(Session):
    """Answers from what is kept, until its process dies: before a step of this number, or when it was just done."""

    def __init__(self, kept: Kept, step: int | None = None, *, done: bool = False) -> None:
        super().__init__()
        self.steps = 0
        self._kept = kept
        self._step = step
        self._done = done

    def prepare(self, text: str) -> Named:
        return Named(text)

    def execute_async(self, request: Any, timeout: float) -> Response:
        response = Response(request, timeout)
        response.answer(self._take(lambda: self._kept.answer(request.text, request.values)))
        return response

    def change_schema(self, statement: str) -> None:
        self._take(lambda: self._kept.change_schema(statement))

    def _take(self, step: Callable[[], Any]) -> Any:
        dies = self.steps == self._step
        self.steps += 1
        if dies and not self._done:
            raise Died
        found = step()
        if dies:
            raise Died
        return found


class Schemed(Link):
    """A link whose changes of the schema are kept."""

    def __init__(self, session: Dying, region: str) -> None:
        options = {"local_dc": region} if region else {}
        super().__init__(parse_address("main", urlsplit(f"{URL}&patience_s=1"), options, None))
        self.settings = Settings("v2", 3)
        self.session = session

    async def change_schema(self, statement: str) -> None:
        self.session.change_schema(statement)

    def grace_s(self, place: str) -> int:
        return schema.grace_s(0)

    def token(self, number: int, partition: bytes) -> int:
        return 0


class Process:
    """One that has a catalogue and sweeps."""

    def __init__(self, session: Dying, catalogue: Catalogue, eraser: Eraser) -> None:
        self.session = session
        self.catalogue = catalogue
        self.eraser = eraser


async def process(
    kept: Kept, environment: VirtualEnvironment, step: int | None = None, *, done: bool = False, region: str = ""
) -> Process:
    """A process that was just started, and dies at `step` from now on; None: never."""
    session = Dying(kept, step, done=done)
    link = Schemed(session, region)
    requests = Requests(link, environment)
    known = await ledgers(link)
    catalogue = Catalogue(link, SPACE, requests, known, environment)
    walker = Walker(link, requests, Reader(requests, environment), environment)
    return Process(session, catalogue, Eraser(catalogue, requests, walker))
