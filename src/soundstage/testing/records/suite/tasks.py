"""Calls outside of any task, as those of plain requests are: `asyncio.timeout` and the like fail there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from soundstage.core.steps import begin
from soundstage.engines.records.port import ALL, Budget
from soundstage.testing.model import Put
from soundstage.testing.records.bench import RECORD, Bench


async def without_a_task(call: Coroutine[Any, Any, Any]) -> Any:
    """What `call` comes to, no step of which was made by a task."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Any] = loop.create_future()

    def end(result: Any, error: BaseException | None) -> None:
        if error is None:
            answered.set_result(result)
        else:
            answered.set_exception(error)

    def start() -> None:
        try:
            ended, found = begin(call)
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            end(None, error)
            return
        if ended:
            end(found, None)
        else:
            found.then(end)

    loop.call_soon(start)
    return await answered


class Tasks:
    async def test_a_write_needs_no_task(self, bench: Bench) -> None:
        await without_a_task(bench.send(bench.write(at=-1, puts={b"a": Put(b"1")})))
        page = await bench.engine.get(bench.spec.name, RECORD, [b"a"], bench.at(None))
        assert len(page.rows) == 1

    async def test_a_read_needs_no_task(self, bench: Bench) -> None:
        await bench.put(b"a", b"1", at=-1)
        page = await without_a_task(bench.engine.get(bench.spec.name, RECORD, [b"a"], bench.at(None)))
        assert len(page.rows) == 1

    async def test_a_page_needs_no_task(self, bench: Bench) -> None:
        await bench.put(b"a", b"1", at=-1)
        page = await without_a_task(bench.engine.read(bench.spec.name, RECORD, ALL, Budget(), bench.at(None)))
        assert len(page.rows) == 1
