"""The embedded engine beside the specification: the same calls, drawn at random, get the same answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines.records.opened import in_memory, on_disk

from soundstage.engines.records.port import Budget, Page, Row, Span
from soundstage.testing.records import Bench
from soundstage.testing.records.bench import resumed
from soundstage.testing.records.examples import EXAMPLES, KEYS, bounds
from soundstage.testing.records.histories import History, Sent, Step, ages, histories, lives
from soundstage.testing.records.suite.walks import walk

RECORDS = 3
MANY_ROWS = 70
"""More than the embedded engine removes one by one."""


class Looked(NamedTuple):
    """Everything that reads is called with these."""

    span: Span
    budget: Budget
    keys: list[bytes]


class Restarted(NamedTuple):
    """The engines are stopped and started."""


Move: TypeAlias = tuple[int, Step | Looked | Restarted]
"""Which record, and what happens to it."""

spans = st.builds(Span, bounds | st.just(b""), st.none() | bounds, st.booleans())
budgets = st.builds(Budget, st.integers(0, 90), st.integers(0, 4_000))
looks = st.builds(Looked, spans, budgets, st.lists(st.sampled_from([*KEYS, b"bulk-03", b"bulk-69"]), max_size=40))


def bulk_of(age_us: int, token: str, life: int | None) -> Sent:
    """A write of many items."""
    puts = {b"bulk-%02d" % number: (b"", life) for number in range(MANY_ROWS)}
    return Sent(age_us, token, puts, [], [], False, None, b"")


def moves(*, conditional: bool) -> st.SearchStrategy[list[Move]]:
    """Histories of several records at once, with reads and restarts in between."""
    steps = histories(conditional=conditional, size=6)
    bulks = st.builds(bulk_of, ages, st.sampled_from(["a", "b"]), lives).map(lambda bulk: [bulk])
    others = looks.map(lambda look: [look]) | st.just([Restarted()]) | bulks
    chunk = st.tuples(st.integers(0, RECORDS - 1), steps | steps | steps | others)
    return st.lists(chunk, max_size=8).map(
        lambda chunks: [(record, step) for record, chunk in chunks for step in chunk]
    )


class Pair:
    """Memory and disk, each at a bench of its own, with clocks that stand alike."""

    def __init__(self, reference: Bench, subject: Bench) -> None:
        self.reference = reference
        self.subject = subject

    async def open(self) -> None:
        await self.reference.open()
        await self.subject.open()

    async def close(self) -> None:
        await self.reference.close()
        await self.subject.close()

    async def play(self, moves: list[Move]) -> None:
        """Both have gone through `moves` and answered alike, to writes as the model does."""
        number = self.reference.take_number()
        records = [b"%d-%d" % (number, index) for index in range(RECORDS)]
        played = [History(record, self.reference, self.subject) for record in records]
        for index, move in moves:
            if isinstance(move, Looked):
                await self.look(records, records[index], move)
            elif isinstance(move, Restarted):
                await self.reference.reopen()
                await self.subject.reopen()
            else:
                await played[index].take(move)
        for history in played:
            await history.check()

    async def look(self, records: list[bytes], record: bytes, how: Looked) -> None:
        """Both answer alike to every kind of read."""
        one, other = self.reference, self.subject
        assert await one.page(record, how.span, how.budget) == await other.page(record, how.span, how.budget)
        assert await self._points(one, record, how) == await self._points(other, record, how)
        assert await self._many(one, records, how) == await self._many(other, records, how)

    async def _points(self, bench: Bench, record: bytes, how: Looked) -> Page:
        page = await bench.engine.get(bench.spec.name, record, how.keys, bench.at(None), how.budget)
        # A mark says how long the answer holds, which engines may tell or not.
        return msgspec.structs.replace(page, mark=None)

    async def _many(self, bench: Bench, records: list[bytes], how: Looked) -> list[tuple[list[Row], list[Row]]]:
        """What the pages hold, and what is found where they resume."""
        pages = await bench.engine.read_many(bench.spec.name, records, how.span, how.budget, bench.at(None))
        return [
            (page.rows, [] if page.resume is None else await bench.rows(record, resumed(how.span, page.resume)))
            for record, page in zip(records, pages, strict=True)
        ]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    pair = Pair(Bench(in_memory(), conditional=False), Bench(on_disk(tmp_path, "os"), conditional=False))
    await pair.open()
    yield pair
    await pair.close()


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Pair]:
    pair = Pair(Bench(in_memory(), conditional=True), Bench(on_disk(tmp_path, "os"), conditional=True))
    await pair.open()
    yield pair
    await pair.close()


@pytest.mark.slow
@settings(EXAMPLES, max_examples=150)
@given(moves(conditional=False))
async def test_the_engines_agree_call_by_call(pair: Pair, moves: list[Move]) -> None:
    await pair.play(moves)


@pytest.mark.slow
@settings(EXAMPLES, max_examples=150)
@given(moves(conditional=True))
async def test_the_engines_agree_on_conditional_calls(guarded: Pair, moves: list[Move]) -> None:
    await guarded.play(moves)


@settings(EXAMPLES, max_examples=30)
@given(moves(conditional=False), st.integers(1, 4), budgets)
async def test_walks_meet_the_same_rows_in_the_same_order(
    pair: Pair, moves: list[Move], segments: int, budget: Budget
) -> None:
    await pair.play([move for move in moves if not isinstance(move[1], Restarted)])
    for segment in range(segments):
        met = await walk(pair.reference, segment, segments, budget)
        assert met == await walk(pair.subject, segment, segments, budget)
