"""A mark that is current means what it says; engines that give none are right, too."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core import version
from soundstage.engines.records.port import Page, Row
from soundstage.testing.model import Put, Write
from soundstage.testing.records.bench import RECORD, Bench
from soundstage.testing.records.examples import EXAMPLES
from soundstage.testing.records.histories import History, Step, histories

KEYS = (b"", b"a", b"a\0", b"b", b"\xff")

WRITES = ("newer", "older", "another key", "older, another key", "marker", "range", "all", "refused")


class Asked(NamedTuple):
    """What was found for one key at some time."""

    key: bytes
    page: Page


async def ask(bench: Bench, key: bytes, record: bytes) -> Asked:
    return Asked(key, await bench.engine.get(bench.spec.name, record, [key], bench.at(None)))


async def check(bench: Bench, asked: Asked, record: bytes) -> None:
    """What was asked while its mark is current is what would be answered now, but for what has expired."""
    if asked.page.mark is not None and asked.page.mark.current:
        now = (await ask(bench, asked.key, record)).page
        assert (now.rows, now.stamp) == (_unexpired(asked.page.rows, bench.at(None)), asked.page.stamp)


def _unexpired(rows: list[Row], now_us: int) -> list[Row]:
    return [row for row in rows if version.is_live(row[1], now_us)]


def _write(bench: Bench, kind: str) -> Write:
    puts = {b"b": Put(b"other")} if "another" in kind else {b"a": Put(b"other")}
    if kind in ("marker", "range", "all"):
        return bench.write(
            at=-1,
            token="delete",
            markers=[b"a"] if kind == "marker" else [],
            ranges=[(b"a", b"b")] if kind == "range" else [],
            whole=kind == "all",
        )
    return bench.write(at=-9 if "older" in kind else -1, token="other", puts=puts)


class Marks:
    @pytest.mark.parametrize("kind", WRITES)
    @pytest.mark.parametrize("key", [b"a", b"b"])
    async def test_a_mark_does_not_outlive_what_was_read(self, bench: Bench, kind: str, key: bytes) -> None:
        await bench.send(bench.write(at=-5, puts={b"a": Put(b"value"), b"c": Put(b"value")}))
        asked = await ask(bench, key, RECORD)
        if kind != "refused":
            await bench.send(_write(bench, kind))
        await check(bench, asked, RECORD)

    async def test_a_mark_ends_before_a_reader_sees_the_write(self, bench: Bench) -> None:
        for number in range(1, 20):
            asked = await ask(bench, b"a", RECORD)
            writing = asyncio.ensure_future(bench.put(b"a", b"%d" % number, at=number))
            while not writing.done():
                await asyncio.sleep(0)
                await check(bench, asked, RECORD)
            await writing

    async def test_a_mark_does_not_outlive_an_engine_that_was_opened_again(self, bench: Bench) -> None:
        await bench.put(b"a", b"value", at=-5)
        asked = await ask(bench, b"a", RECORD)
        await bench.reopen()
        await bench.delete(b"a", at=-1)
        await check(bench, asked, RECORD)

    async def test_a_mark_does_not_outlive_many_reads_of_other_records(self, bench: Bench) -> None:
        await bench.put(b"a", b"value", at=-5)
        asked = await ask(bench, b"a", RECORD)
        if asked.page.mark is None:
            return
        for number in range(2_000):
            await ask(bench, b"a", b"%d" % number)
        await bench.put(b"a", b"other", at=-1)
        await check(bench, asked, RECORD)

    @EXAMPLES
    @given(histories(conditional=False), st.sampled_from(KEYS))
    async def test_whatever_happens_a_current_mark_is_true(self, bench: Bench, steps: list[Step], key: bytes) -> None:
        if not bench.takes_example():
            return
        history = History(b"record-%d" % bench.take_number(), bench)
        seen: list[Asked] = []
        for step in steps:
            seen.append(await ask(bench, key, history.record))
            await history.take(step)
            for asked in seen:
                await check(bench, asked, history.record)
