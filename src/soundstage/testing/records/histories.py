"""Random histories of one record: what is drawn, and how a bench and the model go through the same ones.

Few keys, few tokens and few times, so that versions meet: equal microseconds, a token sent again with
another payload, late writes under every kind of delete, expiries to the microsecond, and conditional calls
repeated after they were overwritten. Every write is of a time that can still arrive, for later the sweeper
may have forgotten what hid it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from hypothesis import strategies as st

from soundstage.core.errors import PreconditionFailed, SoundstageError, TokenReused, Unavailable
from soundstage.testing.model import Condition, Model, Put, Range, Refusal, Stamp, Version, Write
from soundstage.testing.records.bench import KEPT_US, MARKER_MIN_US, Bench
from soundstage.testing.records.writes import shown

LIMIT_US = 2_000_000
"""How far ahead of the present a conditional write may be stamped, and a token may have been generated."""

Asked: TypeAlias = Literal["absent", "present", "at", "other", "stale", "new", "record", "other record", "stale record"]


class Sent(NamedTuple):
    """A write of a token generated `age_us` ago; `conditions` None: an unconditional one."""

    age_us: int
    token: str
    puts: Mapping[bytes, tuple[bytes, int | None]]
    markers: Sequence[bytes]
    ranges: Sequence[Range]
    whole: bool
    conditions: Sequence[tuple[Asked, bytes]] | None
    digest: bytes


class Again(NamedTuple):
    """The write of so many steps ago arrives once more."""

    back: int


class Passed(NamedTuple):
    """So many microseconds pass."""

    us: int


class Swept(NamedTuple):
    """The sweeper removes up to so many rows."""

    rows: int


Step: TypeAlias = Sent | Again | Passed | Swept

# What is written more often than others meets itself more often.
keys: st.SearchStrategy[bytes] = st.sampled_from([b"", b"a", b"a", b"a", b"a\0", b"b", b"\xff"])
tokens: st.SearchStrategy[str] = st.sampled_from(["a", "a", "b", "é"])
ages: st.SearchStrategy[int] = st.sampled_from([0, 0, 0, 1, 1, 1, 2, 3, -1, -LIMIT_US, 1_000, KEPT_US - 1, KEPT_US])
waits: st.SearchStrategy[int] = st.sampled_from(
    [1, 1, 1, 2, 2, 999, KEPT_US, KEPT_US + 1, MARKER_MIN_US, 2 * MARKER_MIN_US]
)
lives: st.SearchStrategy[int | None] = st.none() | st.sampled_from([0, 1, 2, 1_000, KEPT_US, 2 * KEPT_US])
puts: st.SearchStrategy[tuple[bytes, int | None]] = st.tuples(st.sampled_from([b"", b"1", b"2"]), lives)
ranges: st.SearchStrategy[tuple[bytes, bytes | None]] = st.tuples(keys, st.none() | keys)
often_true: st.SearchStrategy[Asked] = st.sampled_from(["at", "record"])
seldom_true: st.SearchStrategy[Asked] = st.sampled_from(
    ["absent", "present", "other", "stale", "new", "other record", "stale record"]
)
questions: st.SearchStrategy[Asked] = often_true | often_true | seldom_true
asked: st.SearchStrategy[tuple[Asked, bytes]] = st.tuples(questions, keys)

conditions: st.SearchStrategy[list[tuple[Asked, bytes]] | None] = (
    st.none() | st.just([]) | st.lists(asked, min_size=1, max_size=1) | st.lists(asked, max_size=2)
)


@st.composite
def sent(draw: st.DrawFn, conditional: bool) -> Sent:
    """Mostly small writes, sometimes of several kinds at once."""
    kind = draw(st.sampled_from(["put", "put", "put", "marker", "range", "whole", "mixed"]))
    chosen = draw(st.dictionaries(keys, puts, min_size=1, max_size=3)) if kind in ("put", "mixed") else {}
    markers = draw(st.sets(keys, min_size=1, max_size=2)) if kind in ("marker", "mixed") else set[bytes]()
    return Sent(
        age_us=draw(ages),
        token=draw(tokens),
        puts=chosen,
        markers=sorted(markers - set(chosen)),
        ranges=draw(st.lists(ranges, min_size=1, max_size=2)) if kind in ("range", "mixed") else [],
        whole=kind == "whole" or (kind == "mixed" and draw(st.booleans())),
        conditions=draw(conditions) if conditional else None,
        digest=draw(st.sampled_from([b"one", b"one", b"two"])),
    )


def histories(*, conditional: bool, size: int = 25) -> st.SearchStrategy[list[Step]]:
    """Histories of up to `size` steps, few of them so short that nothing meets."""
    steps: st.SearchStrategy[Step] = st.one_of(
        sent(conditional),
        sent(conditional),
        sent(conditional),
        st.builds(Again, st.integers(0, 4)),
        st.builds(Again, st.integers(0, 4)),
        st.builds(Passed, waits),
        st.builds(Swept, st.sampled_from([1, 3, 1_000])),
    )
    return st.lists(steps, min_size=min(8, size), max_size=size)


class Request(NamedTuple):
    """A write as it goes to engine and model alike."""

    write: Write
    conditions: Sequence[Condition] | None
    digest: bytes


class History:
    """One record that the model and any number of benches are taken through, step by step.

    The benches' clocks stand alike and are moved by nobody else.
    """

    def __init__(self, record: bytes, *benches: Bench) -> None:
        self.bench: Bench = benches[0]
        self.benches: Sequence[Bench] = benches
        self.record = record
        self.model: Model = Model()
        self._sent: list[Request] = []

    async def take(self, step: Step) -> None:
        """Engines and model have taken `step`; raises `AssertionError` where they answer differently."""
        if isinstance(step, Passed):
            for bench in self.benches:
                bench.advance(step.us)
        elif isinstance(step, Swept):
            for bench in self.benches:
                await bench.engine.sweep(step.rows)
        else:
            request = self._request(step)
            if request is not None:
                self._sent.append(request)
                await self._send(request)

    async def check(self) -> None:
        """The record reads as the model says."""
        items = self.items()
        for bench in self.benches:
            page = await bench.page(self.record)
            assert shown(page.rows) == items
            assert list(shown(page.rows)) == list(items)
            assert page.stamp == self.model.stamp(self.record)

    def items(self) -> dict[bytes, Version]:
        return self.model.items(self.record, self.bench.at(None))

    def _request(self, step: Sent | Again) -> Request | None:
        if isinstance(step, Again):
            found = self._sent[-1 - step.back] if step.back < len(self._sent) else None
        else:
            found = self._requested(step)
        return found if found is not None and self._can_arrive(found.write) else None

    def _requested(self, step: Sent) -> Request:
        at, bench = self.bench.now - step.age_us, self.bench
        chosen = {
            key: Put(value, 0 if life is None else bench.at(at) + life) for key, (value, life) in step.puts.items()
        }
        write = bench.write(
            at=at, token=step.token, puts=chosen, markers=step.markers, ranges=step.ranges, whole=step.whole
        )
        conditions = None if step.conditions is None else [self._condition(*each) for each in step.conditions]
        return Request(write, conditions, step.digest)

    def _can_arrive(self, write: Write) -> bool:
        """Neither what hides it may have been forgotten, nor that its token was used before."""
        known = self.model.record(self.record).ledger.get(write.token)
        oldest_us = write.time_us if known is None else min(write.time_us, known[0])
        return self.bench.at(None) - oldest_us <= KEPT_US

    def _condition(self, what: Asked, key: bytes) -> Condition:
        """A condition that holds, or one that narrowly does not."""
        newest, found = self.model.stamp(self.record), self.items().get(key)
        there = None if found is None else Stamp(found.time_us, found.token)
        elsewhere = Stamp(self.bench.at(None), "elsewhere")
        return {
            "absent": Condition(key, None),
            "present": Condition(key, there or elsewhere),
            "at": Condition(key, there),
            "other": Condition(key, elsewhere if there is None else there._replace(token="other")),
            "stale": Condition(key, elsewhere if there is None else there._replace(time_us=there.time_us - 1)),
            "new": Condition(None, None),
            "record": Condition(None, newest),
            "other record": Condition(None, elsewhere if newest is None else newest._replace(token="other")),
            "stale record": Condition(
                None, elsewhere if newest is None else newest._replace(time_us=newest.time_us - 1)
            ),
        }[what]

    async def _send(self, request: Request) -> None:
        wanted = self._modelled(request)
        for bench in self.benches:
            assert await self._answered(bench, request) == wanted, request

    async def _answered(self, bench: Bench, request: Request) -> int | Refusal:
        try:
            stamp_us = await bench.send(request.write, self.record, request.conditions, request.digest, LIMIT_US)
        except (PreconditionFailed, TokenReused, Unavailable) as refused:
            return _code(refused)
        return bench.at(stamp_us)

    def _modelled(self, request: Request) -> int | Refusal:
        if request.conditions is None:
            return self.model.apply(self.record, request.write)
        now_us = self.bench.at(None)
        return self.model.apply_if(
            self.record, request.write, request.conditions, request.digest, now_us + LIMIT_US, now_us
        )


def _code(refused: SoundstageError) -> Refusal:
    if isinstance(refused, PreconditionFailed):
        return "precondition_failed"
    return "token_reused" if isinstance(refused, TokenReused) else "unavailable"
