from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.runtime.transfer.conftest import CONFIG, contents, exported, fill, item

from soundstage.core.environment import SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import AlreadyExists, NotFound, Unavailable
from soundstage.core.files import File
from soundstage.core.namespace import NamespaceSpec, Quotas
from soundstage.data.kv.api import KeyValue
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.admission import Admission, Gate
from soundstage.runtime.config import AdmissionConfig
from soundstage.runtime.control.vacancy import WITHIN_S, Vacancy
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

BEFORE_IT_IS_MARKED, AFTER = 2, 3
"""The first look at whether the namespace is empty is when the job is asked for."""


class Watched(MemoryRecords):
    """An engine that does something when it is looked whether the namespace `again` is empty, at its main table."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.looks = 0
        self.upon: dict[int, Callable[[], Awaitable[object]]] = {}
        self.goes_on = asyncio.Event()
        self.entered = asyncio.Event()
        self.goes_on.set()

    async def walk(self, table: str, *arguments: Any, **named: Any) -> Any:
        page = await super().walk(table, *arguments, **named)
        if table == "kv/again":
            self.looks += 1
            if (act := self.upon.pop(self.looks, None)) is not None:
                await act()
        return page

    async def apply(self, table: str, *arguments: Any, **named: Any) -> int:
        if table.startswith("kv/again"):
            self.entered.set()
            await self.goes_on.wait()
        return await super().apply(table, *arguments, **named)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    environment = SystemEnvironment()
    engines = {"default": Watched(environment)}
    async with Stage.open(data="memory:", config=CONFIG, environment=environment, engines=engines) as opened:
        for name in ("films", "again"):
            await opened.client(Namespaces).put(namespace=NamespaceSpec(name=name, abstraction="kv"))
        await fill(opened)
        yield opened


def watched(stage: Stage) -> Watched:
    found = stage.engines.get("default", "")
    assert isinstance(found, Watched)
    return found


async def written(stage: Stage) -> None:
    await stage.client(KeyValue, "again").put_items(id="late", items=[item(b"k")])


async def imported(stage: Stage, file: File, **given: Any) -> Any:
    return await (await stage.client(Namespaces).import_(name="again", file=file, **given)).result()


async def copied(stage: Stage, _: File, **given: Any) -> Any:
    return await (await stage.client(Namespaces).copy(name="films", to="again", **given)).result()


FILLED = pytest.mark.parametrize("filled", [imported, copied])


@FILLED
async def test_what_is_written_when_room_is_about_to_be_made_is_kept(stage: Stage, filled: Any) -> None:
    file = (await exported(stage)).file
    before = await stage.client(Namespaces).get(name="again")
    watched(stage).upon[BEFORE_IT_IS_MARKED] = lambda: written(stage)
    with pytest.raises(AlreadyExists, match="holds records"):
        await filled(stage, file)
    assert list(await contents(stage, "again")) == ["late"]
    assert await stage.client(Namespaces).get(name="again") == before


@FILLED
async def test_a_write_that_is_under_way_meanwhile_is_waited_for_and_kept(stage: Stage, filled: Any) -> None:
    file = (await exported(stage)).file
    engine = watched(stage)
    writing: list[asyncio.Task[None]] = []

    async def begin() -> None:
        engine.goes_on.clear()
        engine.entered.clear()
        writing.append(asyncio.ensure_future(written(stage)))
        await engine.entered.wait()
        asyncio.get_running_loop().call_later(0.02, engine.goes_on.set)

    engine.upon[BEFORE_IT_IS_MARKED] = begin
    with pytest.raises(AlreadyExists, match="holds records"):
        await filled(stage, file)
    await writing[0]
    assert list(await contents(stage, "again")) == ["late"]


async def test_from_the_last_look_on_nothing_is_let_in(stage: Stage) -> None:
    file = (await exported(stage)).file
    refused: list[Exception] = []

    async def attempt() -> None:
        with pytest.raises(NotFound) as caught:
            await written(stage)
        refused.append(caught.value)

    watched(stage).upon[AFTER] = attempt
    await imported(stage, file)
    assert (len(refused), "late" in await contents(stage, "again")) == (1, False)


async def test_a_look_that_fails_leaves_the_namespace_as_it_was(stage: Stage) -> None:
    file = (await exported(stage)).file

    async def fail() -> None:
        raise Unavailable("the disk is away", retryable=False)

    watched(stage).upon[AFTER] = fail
    with pytest.raises(Unavailable):
        await imported(stage, file)
    await written(stage)
    assert list(await contents(stage, "again")) == ["late"]


def gate_of(admission: Admission) -> Gate:
    return Gate("again", Quotas(), admission.config)


async def test_calls_that_do_not_end_are_waited_for_so_long(environment: VirtualEnvironment) -> None:
    admission = Admission(AdmissionConfig(), environment)
    gate = gate_of(admission)
    gate.in_flight = 1
    began_ns = environment.monotonic_ns()
    with pytest.raises(Unavailable, match="do not end"):
        await Vacancy(admission, environment, 0.0).comes(gate)
    assert WITHIN_S <= (environment.monotonic_ns() - began_ns) / 1e9 < WITHIN_S + 1


async def test_other_processes_have_the_time_to_hear_of_it(environment: VirtualEnvironment) -> None:
    admission = Admission(AdmissionConfig(), environment)
    began_ns = environment.monotonic_ns()
    await Vacancy(admission, environment, 0.0).comes(None)
    assert environment.monotonic_ns() == began_ns
    await Vacancy(admission, environment, 2.0).comes(None)
    assert environment.monotonic_ns() - began_ns == 2_000_000_000
