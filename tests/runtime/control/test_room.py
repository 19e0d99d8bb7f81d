from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Literal

import msgspec
import pytest
from tests.runtime.conftest import OpenStage, make
from tests.runtime.notes.api import Notes

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import AlreadyExists, InProgress, NotFound, Unavailable
from soundstage.core.namespace import NamespaceInfo, NamespaceSpec
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.control.changes import ABANDONED_US
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

POLL_S = 50.0
OTHERS_S = 2 * POLL_S
"""Longer than the time after which a deletion counts as abandoned."""

CONFIG = {"control": {"poll_interval": "50s"}, "processes": {"shared": True}}
HOME = NamespaceSpec(name="home", abstraction="notes")


class Clock(VirtualEnvironment):
    """A clock on which something happens while it is waited for other processes; `waits` counts that."""

    waits = 0
    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if seconds == OTHERS_S:
            self.waits += 1
            if self.meanwhile is not None:
                await self.meanwhile()


class Lasting(MemoryRecords):
    """A memory engine that several stages use at once; it never stops."""

    running = False

    async def start(self) -> None:
        if not self.running:
            await super().start()
            self.running = True

    async def stop(self) -> None:
        return


class Died(BaseException):
    """The process has."""


class Mortal:
    """The way of one process to the engine: it reaches nothing after so many `steps`, its writes."""

    def __init__(self, engine: Lasting, when: Literal["before", "after"] = "before") -> None:
        self.engine = engine
        self.when = when
        self.steps: int | None = None
        self.capabilities = engine.capabilities

    def __getattr__(self, name: str) -> Any:
        reached = getattr(self.engine, name)
        if name not in ("apply", "drop_table", "create_table", "set_purge_floor"):
            return reached

        async def step(*given: Any, **named: Any) -> Any:
            if self.steps is None:
                return await reached(*given, **named)
            self.steps -= 1
            if self.steps < 0:
                raise Died
            answer = await reached(*given, **named)
            if self.steps == 0 and self.when == "after":
                raise Died
            return answer

        return step


@pytest.fixture
def environment() -> Clock:
    return Clock(seed=7)


@pytest.fixture
def engine(environment: Clock) -> Lasting:
    return Lasting(environment)


@pytest.fixture
async def one(open_stage: OpenStage, engine: Lasting) -> AsyncIterator[Stage]:
    """A process that shares its engine, with the namespace `home`."""
    async with open_stage(CONFIG, engines={"default": engine}) as stage:
        await make(stage)
        yield stage


@pytest.fixture
async def other(open_stage: OpenStage, engine: Lasting, one: Stage) -> AsyncIterator[Stage]:
    """A process beside `one`."""
    async with open_stage(CONFIG, engines={"default": engine}) as stage:
        yield stage


def working(*jobs: str) -> Callable[[str], Awaitable[bool]]:
    """These jobs may still go on."""

    async def busy(job_id: str) -> bool:
        return job_id in jobs

    return busy


async def begin(stage: Stage, job_id: str = "job", *, overwrite: bool = False) -> NamespaceInfo:
    stage.namespaces.busy = working(job_id)
    return await stage.namespaces.begin_filling(HOME, job_id, "ada", overwrite=overwrite)


async def write(stage: Stage) -> None:
    await stage.client(Notes, "home").write(name="a", text="late")


async def read(stage: Stage) -> str:
    return (await stage.client(Notes, "home").read(name="a")).text


async def state_of(stage: Stage) -> tuple[str, str]:
    found = await stage.namespaces.store.find("home")
    return ("", "") if found is None else (found.stored.state, found.stored.job)


async def actions(stage: Stage) -> list[tuple[str, str]]:
    changes = (await stage.client(Namespaces).history(name="home")).changes
    return [(change.action, change.by) for change in reversed(changes)]


async def test_an_empty_namespace_makes_room_and_its_history_says_for_whom(one: Stage, environment: Clock) -> None:
    info = await begin(one)
    assert (info.generation, await state_of(one), environment.waits) == (2, ("creating", "job"), 1)
    assert (await actions(one))[-1] == ("deleted", "ada")


async def test_one_that_is_overwritten_is_not_waited_for(one: Stage, environment: Clock) -> None:
    await write(one)
    await begin(one, overwrite=True)
    assert (await state_of(one), environment.waits) == (("creating", "job"), 0)


async def test_one_that_holds_something_is_served_on(one: Stage) -> None:
    await write(one)
    with pytest.raises(AlreadyExists, match="holds records"):
        await begin(one)
    assert (await read(one), await state_of(one)) == ("late", ("active", ""))


async def test_what_another_process_writes_until_it_hears_of_it_is_kept(
    one: Stage, other: Stage, environment: Clock
) -> None:
    environment.meanwhile = lambda: write(other)
    with pytest.raises(AlreadyExists, match="holds records"):
        await begin(one)
    assert (await read(one), await read(other), await actions(one)) == ("late", "late", [("created", "local")])


async def test_other_namespaces_are_changed_meanwhile(one: Stage, environment: Clock) -> None:
    environment.meanwhile = lambda: make(one, "another")
    await begin(one)
    assert await one.client(Namespaces).get(name="another")


async def test_changes_of_other_processes_are_followed_meanwhile(one: Stage, other: Stage, environment: Clock) -> None:
    async def change() -> None:
        await make(other, "another")
        await one.run_background()
        await one.client(Notes, "another").write(name="a", text="there")

    environment.meanwhile = change
    await begin(one)
    assert (await one.client(Notes, "another").read(name="a")).text == "there"


@pytest.mark.parametrize("asks", ["one", "other"])
async def test_nobody_finishes_or_takes_back_what_a_job_waits_for_however_long(
    one: Stage, other: Stage, environment: Clock, asks: str
) -> None:
    stage, seen = {"one": one, "other": other}[asks], list[tuple[str, str]]()
    other.namespaces.busy = working("job")

    async def look() -> None:
        environment.advance(2 * ABANDONED_US / 1e6)
        await stage.run_background()
        seen.append(await state_of(stage))
        with pytest.raises(InProgress, match="being deleted"):
            await make(stage, config={"greeting": "hi "})
        with pytest.raises(NotFound):
            await stage.client(Namespaces).delete(name="home")

    environment.meanwhile = look
    await begin(one)
    assert (seen, await state_of(one)) == ([("deleting", "job")], ("creating", "job"))


async def test_two_jobs_do_not_both_make_room(one: Stage, environment: Clock) -> None:
    async def rival() -> None:
        environment.meanwhile = None
        one.namespaces.busy = working("job", "rival")
        with pytest.raises(InProgress, match="being deleted"):
            await one.namespaces.begin_filling(HOME, "rival", "bob", overwrite=False)

    environment.meanwhile = rival
    await begin(one)
    assert await state_of(one) == ("creating", "job")


async def test_an_attempt_that_is_behind_begins_again_when_another_took_its_mark_back(
    one: Stage, other: Stage, environment: Clock
) -> None:
    async def take_back() -> None:
        environment.meanwhile = None
        other.namespaces.busy = working()
        await other.run_background()
        await write(other)

    environment.meanwhile = take_back
    with pytest.raises(AlreadyExists, match="holds records"):
        await begin(one)
    assert await read(other) == "late"


async def test_of_two_attempts_of_one_job_the_later_goes_on_and_the_earlier_touches_nothing(
    one: Stage, other: Stage, environment: Clock
) -> None:
    later: list[NamespaceInfo] = []

    def fenced() -> None:
        if later:
            raise Unavailable("another attempt may be at it", retryable=False)

    async def overtake() -> None:
        environment.meanwhile = None
        later.append(await begin(other))

    environment.meanwhile = overtake
    one.namespaces.busy = working("job")
    with pytest.raises(Unavailable, match="another attempt"):
        await one.namespaces.begin_filling(HOME, "job", "ada", fenced, overwrite=False)
    assert (later[0].generation, await state_of(other)) == (2, ("creating", "job"))


async def test_calls_that_do_not_end_leave_it_served(one: Stage) -> None:
    one.operation("notes", "read")._gates["home"].in_flight += 1
    with pytest.raises(Unavailable, match="do not end"):
        await begin(one)
    await write(one)
    assert await state_of(one) == ("active", "")


async def test_a_mark_of_a_job_that_is_over_is_taken_back_by_whoever_fills_the_name_next(one: Stage) -> None:
    await left_marked(one, "job")
    info = await begin(one, "next")
    assert (info.generation, await state_of(one)) == (2, ("creating", "next"))


async def test_a_mark_that_names_no_job_is_taken_back_once_it_is_abandoned(one: Stage, environment: Clock) -> None:
    await left_marked(one, "")
    await one.run_background()
    assert await state_of(one) == ("deleting", "")
    environment.advance(ABANDONED_US / 1e6 + 1)
    await one.run_background()
    await write(one)
    assert (await state_of(one), await actions(one)) == (("active", ""), [("created", "local")])


async def left_marked(stage: Stage, job_id: str) -> None:
    """What a process leaves that dies when it has marked the namespace."""
    found = await stage.namespaces.store.find("home")
    assert found is not None
    since_us = stage.environment.now_us()
    going = msgspec.structs.replace(found.stored, state="deleting", since_us=since_us, if_empty=True, job=job_id)
    await stage.namespaces.store.put(going, found.stamp, None)


STEPS = 12
"""More than the writes that `begin_filling` does."""

deaths = pytest.mark.parametrize("steps", range(STEPS))
whens = pytest.mark.parametrize("when", ["before", "after"])
overwriting = pytest.mark.parametrize("overwrite", [False, True])


async def died(
    open_stage: OpenStage, engine: Lasting, steps: int, when: Literal["before", "after"], *, overwrite: bool
) -> None:
    """A process has died after so many steps on its way to fill `home`."""
    way = Mortal(engine, when)
    async with open_stage(CONFIG, engines={"default": way}) as stage:
        way.steps = steps
        with suppress(Died):
            await begin(stage, overwrite=overwrite)
        way.steps = None


@deaths
@whens
@overwriting
async def test_wherever_a_process_dies_the_next_attempt_of_the_job_goes_on_at_once(
    one: Stage,
    open_stage: OpenStage,
    engine: Lasting,
    environment: Clock,
    steps: int,
    when: Literal["before", "after"],
    overwrite: bool,
) -> None:
    await died(open_stage, engine, steps, when, overwrite=overwrite)
    begun_ns, waits = environment.monotonic_ns(), environment.waits
    info = await begin(one, overwrite=overwrite)
    waited_s = (environment.waits - waits) * OTHERS_S
    assert (environment.monotonic_ns() - begun_ns) / 1e9 - waited_s < 1
    assert (await state_of(one), info.generation) == (("creating", "job"), 2)
    assert {"notes/home/0"} <= {table.name for table in await engine.tables()}
    assert (await actions(one)) == [("created", "local"), ("deleted", "ada")]


@deaths
@whens
@overwriting
async def test_wherever_it_dies_for_good_the_namespace_is_as_before_or_gone_with_a_word_in_its_history(
    one: Stage, open_stage: OpenStage, engine: Lasting, steps: int, when: Literal["before", "after"], overwrite: bool
) -> None:
    await died(open_stage, engine, steps, when, overwrite=overwrite)
    one.namespaces.busy = working()
    await one.run_background()
    if await state_of(one) == ("active", ""):
        await write(one)
        assert await actions(one) == [("created", "local")]
    else:
        assert (await state_of(one), await actions(one)) == (
            ("", ""),
            [("created", "local"), ("deleted", "ada")],
        )
        await make(one)
        await write(one)


async def test_the_steps_are_enough_to_get_through(one: Stage, open_stage: OpenStage, engine: Lasting) -> None:
    await died(open_stage, engine, STEPS - 1, "before", overwrite=False)
    assert await state_of(one) == ("creating", "job")
