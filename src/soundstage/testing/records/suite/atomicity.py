"""A call counts whole or not at all, in one record, whatever else goes on."""

from __future__ import annotations

import asyncio

from soundstage.engines.records.port import Budget, Span
from soundstage.testing.model import Put, Write
from soundstage.testing.records.bench import Bench
from soundstage.testing.records.writes import shown

KEYS = [b"%03d" % number for number in range(200)]


def round_of(bench: Bench, number: int) -> Write:
    """A write of all `KEYS` with the value `number`."""
    return bench.write(at=number, puts={key: Put(b"%d" % number) for key in KEYS})


class Atomicity:
    async def test_a_page_shows_one_call_whole(self, bench: Bench) -> None:
        bench.environment.tick_ns = 1_000_000
        await bench.send(round_of(bench, 0))

        async def read() -> set[bytes]:
            page = await bench.page(budget=Budget(rows=len(KEYS)))
            return {found.value for found in shown(page.rows).values()}

        calls = [each for number in range(1, 30) for each in (bench.send(round_of(bench, number)), read())]
        seen = [found for found in await asyncio.gather(*calls) if isinstance(found, set)]
        assert {len(values) for values in seen} == {1}

    async def test_readers_never_go_back(self, bench: Bench) -> None:
        bench.environment.tick_ns = 1_000_000
        await bench.send(round_of(bench, 0))

        async def read() -> int:
            page = await bench.page(span=Span(KEYS[0], KEYS[1]))
            return int(shown(page.rows)[KEYS[0]].value)

        for number in range(1, 30):
            # Of two that read at once either may be answered first, whatever each has seen.
            _, *seen = await asyncio.gather(bench.send(round_of(bench, number)), read(), read())
            assert {number - 1, number}.issuperset(seen)

    async def test_a_page_taken_while_a_record_is_deleted_shows_all_or_nothing(self, bench: Bench) -> None:
        bench.environment.tick_ns = 1_000_000
        for number in range(0, 20, 2):
            await bench.send(round_of(bench, number))
            pages = await asyncio.gather(
                bench.page(), bench.delete_all(at=number + 1), bench.page(), bench.delete_all(at=number + 1)
            )
            assert {len(page.rows) for page in pages if not isinstance(page, int)} <= {0, len(KEYS)}

    async def test_writers_at_once_agree_on_the_greatest(self, bench: Bench) -> None:
        order = bench.environment.random.sample(range(100), 100)
        await asyncio.gather(*(bench.put(b"key", b"%d" % number, at=number) for number in order))
        assert await bench.values() == {b"key": b"99"}

    async def test_writers_at_once_all_have_their_say(self, bench: Bench) -> None:
        await asyncio.gather(*(bench.put(key, key, at=-1) for key in KEYS))
        assert await bench.values() == {key: key for key in KEYS}

    async def test_an_acknowledged_write_is_seen_at_once(self, bench: Bench) -> None:
        async def write_and_read(number: int) -> bool:
            record = b"record-%d" % number
            await bench.put(b"key", b"value", at=number, record=record)
            return await bench.values(record) == {b"key": b"value"}

        assert all(await asyncio.gather(*(write_and_read(number) for number in range(50))))

    async def test_a_call_that_was_cancelled_is_there_whole_or_not_at_all(self, bench: Bench) -> None:
        for number in range(20):
            call = asyncio.ensure_future(bench.send(round_of(bench, number), b"record-%d" % number))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        sizes = [len(await bench.rows(b"record-%d" % number)) for number in range(20)]
        assert set(sizes) <= {0, len(KEYS)}

    async def test_a_call_that_was_cancelled_disturbs_nobody(self, bench: Bench) -> None:
        calls = [asyncio.ensure_future(bench.put(b"%02d" % number, b"", at=number)) for number in range(20)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        done = await asyncio.gather(*calls[1::2])
        assert done == list(range(1, 20, 2))
        assert set(await bench.values()) >= {b"%02d" % number for number in range(1, 20, 2)}
