"""Requests to the cluster: their time, their number, and how often they are sent again."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from msgspec import UNSET

from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, Outcome, SoundstageError, Unavailable
from soundstage.core.turns import Line
from soundstage.engines.records import refusals
from soundstage.engines.records.cassandra.bridge import Bridge
from soundstage.engines.records.cassandra.driver import unlogged_batch
from soundstage.engines.records.cassandra.failures import (
    Failed,
    TooManyTombstones,
    TooSlow,
    failure,
    gave_up,
    is_out_of_time,
    is_too_many_tombstones,
    is_too_slow,
    late,
    patient,
    remember,
)
from soundstage.engines.records.cassandra.levels import Levels, levels_of
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, TableSpec

PAUSE_FIRST_S, PAUSE_LAST_S = 0.02, 1.0


class Failing(NamedTuple):
    """Requests have failed since then, and none was answered."""

    since_ns: int
    reason: str


class Requests:
    """What one engine asks of the cluster. Where no level is given, that is the engine's own: see `levels`.

    Every write of this package may be sent twice: it says the same the second time.
    """

    def __init__(self, link: Link, environment: Environment) -> None:
        options = link.address.options
        self.own: Levels = levels_of(options.consistency, TableSpec(name=""))
        self.one: int = levels_of(options.consistency, TableSpec(name="", eventual=True)).rows
        self._link = link
        self._environment = environment
        self._bridge = Bridge()
        self._patience_ns = round(options.patience_s * 1e9)
        self._attempt_s = options.attempt_s
        self._line = Line(options.in_flight)
        self._waiting_max = options.waiting
        self._closed = False
        self.failing: Failing | None = None
        self.retried: int = 0
        self.overrun: int = 0
        self._in_flight_max = options.in_flight

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self._in_flight_max - self._line.free

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return self._line.waiting

    def close(self) -> None:
        """Calls under way end with `Unavailable`; no more are taken."""
        self._closed = True
        self._bridge.close()
        self._line.close(refusals.stopped)

    def check_open(self) -> None:
        if self._closed:
            raise refusals.stopped()

    def now_ns(self) -> int:
        """The clock that deadlines are on."""
        return self._environment.monotonic_ns()

    def left_s(self, deadline_ns: int | None) -> float | None:
        """How long it is until a deadline."""
        return None if deadline_ns is None else (deadline_ns - self._environment.monotonic_ns()) / 1e9

    def is_late(self, deadline_ns: int | None) -> bool:
        return deadline_ns is not None and self._environment.monotonic_ns() >= deadline_ns

    def levels(self, spec: TableSpec) -> Levels:
        """What requests for a table go out at."""
        return levels_of(self._link.address.options.consistency, spec)

    def check_decides(self, spec: TableSpec) -> None:
        """Raise `InvalidArgument` where `decides` is false."""
        if not self.decides(spec):
            raise refusals.decided_elsewhere(spec.name, str(spec.region))

    def decides(self, spec: TableSpec) -> bool:
        """Whether lightweight writes of a table go out from here, and not from another data centre alone."""
        return not spec.conditional or spec.region is UNSET or spec.region == self._link.region

    async def read(
        self, statement: Any, values: tuple[Any, ...], deadline_ns: int | None = None, *, level: int | None = None
    ) -> list[Any]:
        """The rows of a read, which is sent again until it is answered or the time is over.

        Raises `TooManyTombstones` where the same read must fail again.
        """
        bound = statement.bind(values)
        bound.consistency_level = self.own.rows if level is None else level
        return await self._sent(bound, deadline_ns, reading=True)

    async def scan(
        self, statement: Any, values: tuple[Any, ...], deadline_ns: int | None = None, *, level: int | None = None
    ) -> list[Any]:
        """As `read`, but `TooSlow` where it did not end in time: a smaller part of the ring might."""
        bound = statement.bind(values)
        bound.consistency_level = self.own.rows if level is None else level
        return await self._sent(bound, deadline_ns, reading=True, scanning=True)

    async def read_serially(
        self, statement: Any, values: tuple[Any, ...], deadline_ns: int | None = None, *, level: int | None = None
    ) -> list[Any]:
        """The rows after every lightweight write that was decided, those of unknown outcome included."""
        bound = statement.bind(values)
        bound.consistency_level = self.own.serial if level is None else level
        return await self._sent(bound, deadline_ns, reading=True)

    async def write(
        self, statement: Any, values: tuple[Any, ...], deadline_ns: int | None = None, *, level: int | None = None
    ) -> None:
        """The write is acknowledged at its level; sent again until then or the time is over."""
        bound = statement.bind(values)
        bound.consistency_level = self.own.rows if level is None else level
        await self._sent(bound, deadline_ns)

    async def write_all(
        self, batch: list[tuple[Any, tuple[Any, ...]]], deadline_ns: int | None = None, *, level: int | None = None
    ) -> None:
        """All statements, which are of one partition, at once or not at all."""
        if len(batch) == 1:
            return await self.write(*batch[0], deadline_ns=deadline_ns, level=level)
        whole = unlogged_batch(self.own.rows if level is None else level)
        for statement, values in batch:
            whole.add(statement, values)
        await self._sent(whole, deadline_ns)
        return None

    async def decide(
        self, batch: list[tuple[Any, tuple[Any, ...]]], deadline_ns: int | None = None, levels: Levels | None = None
    ) -> tuple[bool, tuple[Any, ...]]:
        """One attempt at a lightweight write: whether it was applied, and the row that it found.

        Raises `Failed` where that is not known; see `undecided`.
        """
        *_, serial, commit, _ = self.own if levels is None else levels
        if len(batch) == 1:
            statement, values = batch[0]
            request = statement.bind(values)
            request.consistency_level = commit
            request.serial_consistency_level = serial
        else:
            request = unlogged_batch(commit, serial)
            for statement, values in batch:
                request.add(statement, values)
        await self._take_turn(deadline_ns)
        try:
            rows = await self._answer(request, self._time_left_s(deadline_ns))
            self.failing = None
        finally:
            self._line.give()
        return rows[0][0], rows[0]

    async def undecided(self, error: BaseException, tried: int, deadline_ns: int) -> Outcome:
        """Wait a little before a lightweight write is tried anew; what may have become of the last attempt.

        Raises what is said to the caller where another attempt makes no sense or the time is over.
        """
        found = failure(error)
        if not found.again:
            raise found.error
        self._failed(found.error)
        outcome: Outcome = "unknown" if found.error.outcome is None else found.error.outcome
        await self._pause(tried, deadline_ns, found.error, outcome)
        return outcome

    def until(self, deadline_ns: int | None) -> int:
        """When a call is given up: at its deadline, or when patience ends."""
        patience_ns = self._environment.monotonic_ns() + self._patience_ns
        return patience_ns if deadline_ns is None else deadline_ns

    def write_until(self, deadline_ns: int | None) -> int | None:
        """When a write of that deadline is given up at the latest; None: when patience ends.

        A later one might come when the deletes that hide it are forgotten, and the chunks that it names are gone.
        """
        in_flight_ns = IN_FLIGHT_MAX_US * 1_000
        latest_ns = self._environment.monotonic_ns() + in_flight_ns
        if deadline_ns is None:
            return latest_ns if self._patience_ns > in_flight_ns else None
        return min(deadline_ns, latest_ns)

    async def _sent(
        self, request: Any, deadline_ns: int | None, *, reading: bool = False, scanning: bool = False
    ) -> Any:
        await self._take_turn(deadline_ns)
        try:
            rows = await self._answer(request, self._time_left_s(deadline_ns))
            self.failing = None
            return rows
        except Failed as failed:
            with patient(deadline_ns):
                return await self._sent_again(request, deadline_ns, failed.cause, reading, scanning)
        finally:
            self._line.give()

    async def _sent_again(
        self, request: Any, deadline_ns: int | None, error: BaseException, reading: bool, scanning: bool
    ) -> Any:
        until_ns = self.until(deadline_ns)
        outcome: Outcome = "not_applied"
        tried = 0
        try:
            while True:
                if reading and is_too_many_tombstones(error):
                    self.overrun += 1
                    raise TooManyTombstones from error
                found = failure(error, reading=reading)
                if reading and is_out_of_time(error) and self._ends_within_an_attempt(deadline_ns):
                    self._unanswered(found.error)
                    raise late() from error
                if scanning and is_too_slow(error):
                    raise TooSlow from error
                if found.error.outcome == "unknown":
                    outcome = "unknown"
                if not found.again:
                    raise found.error from error
                self._failed(found.error)
                await self._pause(tried, until_ns, found.error, outcome)
                tried += 1
                try:
                    rows = await self._answer(request, self._time_left_s(until_ns))
                    self.failing = None
                    return rows
                except Failed as failed:
                    error = failed.cause
        except SoundstageError as last:
            remember(last, outcome)
            raise

    def _failed(self, error: SoundstageError) -> None:
        """What failed is sent again, and known as the reason until anything is answered."""
        self.retried += 1
        self._unanswered(error)

    def _unanswered(self, error: SoundstageError) -> None:
        if isinstance(error, Unavailable):
            since_ns = self._environment.monotonic_ns() if self.failing is None else self.failing.since_ns
            self.failing = Failing(since_ns, error.detail)

    async def _pause(self, tried: int, until_ns: int, error: SoundstageError, outcome: Outcome) -> None:
        pause_s = min(PAUSE_LAST_S, PAUSE_FIRST_S * 2**tried) * (0.5 + self._environment.random.random() / 2)
        if self._environment.monotonic_ns() + pause_s * 1e9 >= until_ns:
            raise gave_up(error, outcome) from error
        await self._environment.sleep(pause_s)

    def _ends_within_an_attempt(self, deadline_ns: int | None) -> bool:
        """Whether it was the call's own time that was over, and not the time of an attempt."""
        if deadline_ns is None:
            return False
        return (deadline_ns - self._environment.monotonic_ns()) / 1e9 < self._attempt_s

    def _answer(self, request: Any, time_s: float) -> asyncio.Future[Any]:
        self.check_open()
        try:
            sent = self._link.session.execute_async(request, timeout=time_s)
        except Exception as error:
            raise Failed(error) from error
        return self._bridge.answer(sent)

    def _time_left_s(self, deadline_ns: int | None) -> float:
        if deadline_ns is None:
            return self._attempt_s
        left_s = (deadline_ns - self._environment.monotonic_ns()) / 1e9
        if left_s <= 0:
            raise late()
        return min(left_s, self._attempt_s)

    async def _take_turn(self, deadline_ns: int | None) -> None:
        if self._closed:
            raise refusals.stopped()
        if self._line.take_now():
            return
        if self._line.waiting >= self._waiting_max:
            raise Exhausted(
                f"{self._waiting_max} requests wait for Cassandra already",
                hint="ask less often, or raise in_flight",
                retry_after_ms=100,
                outcome="not_applied",
            )
        await self._line.take(self.left_s(deadline_ns))
