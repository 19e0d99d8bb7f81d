"""An engine on the bench: one table, one clock, and short words for the calls that tests make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from soundstage.core.environment import Environment, VirtualEnvironment
from soundstage.engines.records.port import (
    ALL,
    DEFAULT_BUDGET,
    Budget,
    Conditional,
    Page,
    Records,
    Row,
    Span,
    Sweep,
    TableSpec,
)
from soundstage.testing.model import Condition, Put, Range, Stamp, Write
from soundstage.testing.records.writes import batch_of, conditional_of, shown

TABLE = "suite/items"
RECORD = b"record"
MAX_LAG_US = 600_000_000
KEPT_US = MAX_LAG_US + 60_000_000
"""How long tombstones and ledger entries are kept: the table's greatest lag and the minute of a call in flight."""

USUAL_EXAMPLES = 60

PAGES_MAX = 20_000
"""More pages than any test reads."""

MARKER_MIN_US, MARKER_MAX_US = 3_600_000_000, 7_200_000_000
SPEC = TableSpec(
    name=TABLE,
    max_lag_us=MAX_LAG_US,
    delete_ttl_min_us=MARKER_MIN_US,
    delete_ttl_max_us=MARKER_MAX_US,
)


class OpenEngine(Protocol):
    """What an engine's test file gives the suite: its fixture `open_engine`."""

    async def __call__(self, environment: Environment, store: str = "store") -> Records:
        """A started engine on the storage called `store`: empty the first time, then as the last one left it.

        The engine that was opened on a storage is stopped before the next one is.
        """
        ...


class BenchEnvironment(VirtualEnvironment):
    """A virtual clock on which time passes while work is done: `tick_ns` at each look at the monotonic clock."""

    tick_ns = 0

    def monotonic_ns(self) -> int:
        self.advance(self.tick_ns / 1e9)
        return super().monotonic_ns()


class Bench:
    """Times are microseconds from the moment the bench was set up, which is where its clock stands."""

    def __init__(
        self, open_engine: OpenEngine, *, conditional: bool, seed: int = 0, examples: int | None = None
    ) -> None:
        """`examples` is how many a property is tried with at most; None: as many as it asks for."""
        self.environment: BenchEnvironment = BenchEnvironment(seed)
        self.start_us: int = self.environment.now_us()
        self.spec: TableSpec = msgspec.structs.replace(SPEC, conditional=conditional)
        self.engine: Records
        self._open_engine = open_engine
        self._examples = self._examples_left = examples
        self._taken = 0

    async def open(self) -> None:
        self.engine = await self._open_engine(self.environment)
        await self.engine.create_table(self.spec)

    async def reopen(self) -> None:
        """The engine is stopped and another one serves what it kept."""
        await self.engine.stop()
        self.engine = await self._open_engine(self.environment)

    async def another(self, store: str) -> Records:
        """A second engine beside this one, on a storage of its own; the caller stops it."""
        return await self._open_engine(self.environment, store)

    async def close(self) -> None:
        """The engine is stopped; a test may have stopped it before."""
        if hasattr(self, "engine"):
            await self.engine.stop()

    @property
    def now(self) -> int:
        return self.environment.now_us() - self.start_us

    @property
    def kept_us(self) -> int:
        """Later than this nothing that was deleted now is kept any more."""
        return max(KEPT_US, MARKER_MAX_US) + 1

    def advance(self, us: int) -> None:
        self.environment.advance(us / 1e6)

    def write(
        self,
        *,
        at: int,
        token: str = "token",
        puts: Mapping[bytes, Put] | None = None,
        markers: Sequence[bytes] = (),
        ranges: Sequence[Range] = (),
        whole: bool = False,
    ) -> Write:
        """The write of a token that was generated `at`."""
        time_us = self.start_us + at
        return Write(token=token, time_us=time_us, puts=puts or {}, markers=markers, ranges=ranges, whole=whole)

    async def send(
        self,
        write: Write,
        record: bytes = RECORD,
        conditions: Sequence[Condition] | None = None,
        digest: bytes = b"digest",
        limit: int = 2_000_000,
    ) -> int:
        """`write` is applied; returns when it was stamped. `limit` counts from the present."""
        conditional: Conditional | None = None
        if conditions is not None:
            conditional = conditional_of(write.token, conditions, digest, self.environment.now_us() + limit)
        stamp_us = await self.engine.apply(self.spec.name, record, batch_of(write), conditional=conditional)
        return stamp_us - self.start_us

    async def put(
        self,
        key: bytes,
        value: bytes,
        *,
        at: int,
        token: str = "token",
        expires: int | None = None,
        record: bytes = RECORD,
    ) -> int:
        expires_us = 0 if expires is None else self.start_us + expires
        return await self.send(self.write(at=at, token=token, puts={key: Put(value, expires_us)}), record)

    async def put_if(self, key: bytes, value: bytes, *conditions: Condition, at: int, token: str | None = None) -> int:
        """Under a token of its own where none is given."""
        token = token or f"conditional-{self.take_number()}"
        return await self.send(self.write(at=at, token=token, puts={key: Put(value)}), conditions=conditions)

    async def delete(self, *keys: bytes, at: int, token: str = "delete", record: bytes = RECORD) -> int:
        return await self.send(self.write(at=at, token=token, markers=keys), record)

    async def delete_range(
        self, start: bytes, end: bytes | None, *, at: int, token: str = "delete", record: bytes = RECORD
    ) -> int:
        return await self.send(self.write(at=at, token=token, ranges=[(start, end)]), record)

    async def delete_all(self, *, at: int, token: str = "delete", record: bytes = RECORD) -> int:
        return await self.send(self.write(at=at, token=token, whole=True), record)

    async def page(
        self, record: bytes = RECORD, span: Span = ALL, budget: Budget = DEFAULT_BUDGET, now: int | None = None
    ) -> Page:
        return await self.engine.read(self.spec.name, record, span, budget, self.at(now))

    async def rows(
        self, record: bytes = RECORD, span: Span = ALL, budget: Budget = DEFAULT_BUDGET, now: int | None = None
    ) -> list[Row]:
        """All pages of `span`."""
        return [row for page in await self.pages(record, span, budget, now) for row in page.rows]

    async def pages(
        self, record: bytes = RECORD, span: Span = ALL, budget: Budget = DEFAULT_BUDGET, now: int | None = None
    ) -> list[Page]:
        """The pages of `span` to the last, each of which must lead on."""
        pages = [await self.page(record, span, budget, now)]
        while (resume := pages[-1].resume) is not None:
            rest = resumed(span, resume)
            assert rest != span or not pages[-1].rows, "a page with rows resumes where it began"
            assert len(pages) < PAGES_MAX, "the pages have no end"
            span = rest
            pages.append(await self.page(record, span, budget, now))
        return pages

    async def values(self, record: bytes = RECORD, now: int | None = None) -> dict[bytes, bytes]:
        """The live items of a record."""
        return {key: found.value for key, found in shown(await self.rows(record, now=now)).items()}

    async def stamp(self, record: bytes = RECORD) -> tuple[int, str] | None:
        """Time and token of the greatest version that the record ever accepted."""
        stamp = (await self.page(record)).stamp
        return None if stamp is None else (stamp.time_us - self.start_us, stamp.token)

    async def item_stamp(self, key: bytes, record: bytes = RECORD) -> Stamp:
        """Time and token of a live item, as conditions name them."""
        found = shown(await self.rows(record))[key]
        return Stamp(found.time_us, found.token)

    async def record_stamp(self, record: bytes = RECORD) -> Stamp:
        """What `stamp` gives, as conditions name it."""
        stamp = (await self.page(record)).stamp
        assert stamp is not None
        return Stamp(*stamp)

    async def sweep(self, budget_rows: int = 10_000) -> int:
        """Everything due is gone; returns how many things that was."""
        purged = 0
        while True:
            swept: Sweep = await self.engine.sweep(budget_rows)
            purged += swept.purged
            if not swept.purged:
                return purged

    def take_number(self) -> int:
        """A number that this bench has not given before, for a record or token of one's own."""
        self._taken += 1
        return self._taken

    def takes_example(self, weight: int = 1) -> bool:
        """Whether a property is to be tried with the example at hand, which takes as long as `weight` others."""
        if self._examples_left is None:
            return True
        self._examples_left -= weight
        return self._examples_left >= 0

    def tries(self, count: int) -> int:
        """`count`, or as much less as properties are tried with fewer examples than usual."""
        return (
            count if self._examples is None else max(1, count * min(self._examples, USUAL_EXAMPLES) // USUAL_EXAMPLES)
        )

    def late(self) -> Budget:
        """A budget whose time is over."""
        return self.soon(0)

    def soon(self, ms: int) -> Budget:
        """A budget whose time will be over in `ms` milliseconds."""
        return Budget(deadline_ns=self.environment.monotonic_ns() + ms * 1_000_000)

    def at(self, us: int | None) -> int:
        """Microseconds since 1970 of a time of the bench; None is the present."""
        return self.environment.now_us() if us is None else self.start_us + us


def resumed(span: Span, resume: bytes) -> Span:
    """What is left of `span` after a page that resumes at `resume`."""
    return Span(span.start, resume, True) if span.reverse else Span(resume, span.end)
