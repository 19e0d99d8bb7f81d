from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from tests.runtime.conftest import OpenStage, make, service_of
from tests.runtime.notes.api import Notes

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import (
    AlreadyExists,
    Exhausted,
    InProgress,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    Unavailable,
)
from soundstage.core.namespace import LatencyObjective, NamespaceSpec, Objective, Quotas
from soundstage.core.time import Duration
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import TableSpec
from soundstage.runtime.control.changes import ABANDONED_US
from soundstage.runtime.control.store import EARLIER_KEPT_US, EARLIER_MAX
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

MS = 1_000_000


class Unwilling(MemoryRecords):
    """An engine that fails to create tables of these names, to `drop` them, or to `write` to them."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        super().__init__(environment)
        self.refused: set[str] = set()

    async def create_table(self, spec: TableSpec) -> None:
        if spec.name in self.refused:
            raise Unavailable("the disk is full", outcome="not_applied")
        await super().create_table(spec)

    async def apply(self, table: str, *arguments: Any, **named: Any) -> int:
        if f"write {table}" in self.refused:
            raise Unavailable("the disk is full", outcome="not_applied")
        return await super().apply(table, *arguments, **named)

    async def drop_table(self, name: str) -> None:
        if f"drop {name}" in self.refused:
            raise Unavailable("the disk is away", outcome="not_applied")
        await super().drop_table(name)


@pytest.fixture
def namespaces(stage: Stage) -> Namespaces:
    return stage.client(Namespaces)


def spec(name: str = "x", abstraction: str = "notes", **parts: Any) -> NamespaceSpec:
    return NamespaceSpec(name=name, abstraction=abstraction, **parts)


async def tables_of(stage: Stage) -> Sequence[str]:
    return [table.name for table in await stage.engines["default"].tables() if not table.name.startswith("system/")]


async def test_its_tables_exist_when_put_answers(stage: Stage, namespaces: Namespaces) -> None:
    await namespaces.put(namespace=spec(config={"parts": 2}))
    assert [name for name in await tables_of(stage) if "/x/" in name] == ["notes/x/0", "notes/x/1"]


async def test_this_process_applies_a_change_at_once(stage: Stage, namespaces: Namespaces) -> None:
    await namespaces.put(namespace=spec(config={"greeting": "hi "}))
    notes = stage.client(Notes, "x")
    await notes.write(name="a", text="Ada")
    assert (await notes.read(name="a")).text == "hi Ada"
    await namespaces.put(namespace=spec(config={"greeting": "bye "}))
    assert (await notes.read(name="a")).text == "bye Ada"


async def test_putting_what_is_stored_changes_nothing(namespaces: Namespaces) -> None:
    first = await namespaces.put(namespace=spec(config={"greeting": "hi "}))
    assert await namespaces.put(namespace=spec(config={"greeting": "hi "})) == first
    assert len((await namespaces.history(name="x")).changes) == 1


async def test_parts_left_out_go_back_to_their_defaults(namespaces: Namespaces) -> None:
    await namespaces.put(namespace=spec(config={"greeting": "hi "}, quotas=Quotas(in_flight=3)))
    info = await namespaces.put(namespace=spec())
    assert info.version == 2
    assert info.config["greeting"] == ""
    assert info.quotas.in_flight is None


async def test_versions_count_from_one_and_generations_never_repeat(namespaces: Namespaces) -> None:
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        for greeting in ("a", "b"):
            info = await namespaces.put(namespace=spec(config={"greeting": greeting}))
            seen.append((info.generation, info.version))
        await namespaces.delete(name="x")
    other = await namespaces.put(namespace=spec("y"))
    generations = [seen[0][0], seen[2][0], other.generation]
    assert [version for _, version in seen] == [1, 2, 1, 2]
    assert generations == sorted(set(generations))


async def test_a_new_generation_starts_empty(stage: Stage, namespaces: Namespaces) -> None:
    notes = stage.client(Notes, "home")
    await notes.write(name="a", text="old")
    await namespaces.delete(name="home")
    with pytest.raises(NotFound):
        await notes.read(name="a")
    await make(stage)
    with pytest.raises(NotFound, match="there is no note"):
        await notes.read(name="a")


async def test_the_expected_version_must_be_the_one_stored(namespaces: Namespaces) -> None:
    await namespaces.put(namespace=spec())
    changed = await namespaces.put(namespace=spec(config={"greeting": "a"}), expected_version=1)
    assert changed.version == 2
    with pytest.raises(PreconditionFailed, match="at version 2, not 1") as caught:
        await namespaces.put(namespace=spec(config={"greeting": "b"}), expected_version=1)
    assert caught.value.field == "expected_version"
    with pytest.raises(PreconditionFailed):
        await namespaces.delete(name="x", expected_version=1)
    await namespaces.delete(name="x", expected_version=2)


async def test_a_repetition_of_the_call_that_made_the_version_is_answered_again(namespaces: Namespaces) -> None:
    await namespaces.put(namespace=spec(), expected_version=0)
    changed = await namespaces.put(namespace=spec(config={"greeting": "a"}), expected_version=1)
    assert await namespaces.put(namespace=spec(config={"greeting": "a"}), expected_version=1) == changed


@pytest.mark.parametrize("config", [None, {"greeting": "a"}])
async def test_zero_expects_that_there_is_none(namespaces: Namespaces, config: dict[str, Any] | None) -> None:
    await namespaces.put(namespace=spec(), expected_version=0)
    with pytest.raises(AlreadyExists):
        await namespaces.put(namespace=spec(config=config), expected_version=0)


async def test_of_two_rivals_that_create_the_same_one_is_told_that_it_came_second(namespaces: Namespaces) -> None:
    calls = (namespaces.put(namespace=spec(), expected_version=0) for _ in range(2))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["AlreadyExists", "NamespaceInfo"]


async def test_who_repeats_a_creation_under_its_key_is_answered_again(namespaces: Namespaces) -> None:
    keyed = namespaces.with_options(idempotency_key="k-1")
    created = await keyed.put(namespace=spec(), expected_version=0)
    assert await keyed.put(namespace=spec(), expected_version=0) == created


async def test_what_is_got_in_process_is_the_callers_own(namespaces: Namespaces) -> None:
    await namespaces.put(namespace=spec())
    (await namespaces.get(name="x")).config["greeting"] = "spoilt"
    (await namespaces.list()).namespaces[0].engines.clear()
    found = await namespaces.get(name="x")
    assert found.config["greeting"] != "spoilt"
    assert found.engines != {}


NO_DURATION: Any = 5


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"quotas": Quotas(reads_per_second=1e-300)}, "namespace.quotas.reads_per_second"),
        ({"quotas": Quotas(writes_per_second=-1)}, "namespace.quotas.writes_per_second"),
        ({"quotas": Quotas(in_flight=-5)}, "namespace.quotas.in_flight"),
        ({"quotas": Quotas(burst=NO_DURATION)}, "namespace.quotas.burst"),
        ({"name": 5}, "namespace.name"),
        ({"engines": "default"}, "namespace.engines"),
    ],
)
async def test_what_is_out_of_bounds_is_refused_in_process_and_nothing_is_stored(
    namespaces: Namespaces, parts: dict[str, Any], field: str
) -> None:
    before = (await namespaces.list()).namespaces
    with pytest.raises(InvalidArgument) as caught:
        await namespaces.put(namespace=spec(**parts))
    assert caught.value.field == field
    assert (await namespaces.list()).namespaces == before


@pytest.mark.parametrize("page_size", [0, -1, 1_001, "5"])
async def test_a_page_of_no_size_is_refused_in_process(namespaces: Namespaces, page_size: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await namespaces.list(page_size=page_size)
    assert caught.value.field == "page_size"


async def test_a_version_of_what_does_not_exist_fails(namespaces: Namespaces) -> None:
    with pytest.raises(PreconditionFailed, match="does not exist"):
        await namespaces.put(namespace=spec(), expected_version=3)


async def test_only_one_of_two_that_expect_the_same_version_wins(namespaces: Namespaces) -> None:
    await namespaces.put(namespace=spec())
    outcomes = await asyncio.gather(
        *(namespaces.put(namespace=spec(config={"greeting": text}), expected_version=1) for text in "ab"),
        return_exceptions=True,
    )
    assert [isinstance(outcome, PreconditionFailed) for outcome in outcomes].count(True) == 1


async def test_concurrent_creations_all_succeed(namespaces: Namespaces) -> None:
    infos = await asyncio.gather(*(namespaces.put(namespace=spec(f"n{number}")) for number in range(10)))
    assert len({info.generation for info in infos}) == 10


@pytest.mark.parametrize(
    ("parts", "field", "hint"),
    [
        ({"name": ""}, "namespace.name", None),
        ({"name": "a/b"}, "namespace.name", None),
        ({"name": "x" * 65}, "namespace.name", None),
        ({"abstraction": "note"}, "namespace.abstraction", "did you mean 'notes'?"),
        ({"abstraction": "tokens"}, "namespace.abstraction", None),
        ({"abstraction": ""}, "namespace.abstraction", None),
        ({"engines": {"record": "default"}}, "namespace.engines.record", "did you mean 'records'?"),
        ({"engines": {"records": "defalt"}}, "namespace.engines.records", "did you mean 'default'?"),
        ({"config": {"greting": "a"}}, "namespace.config.greting", "greeting"),
        ({"config": {"length_limit": "many"}}, "namespace.config.length_limit", None),
        ({"config": {"length_limit": 0}}, "namespace.config.length_limit", None),
        ({"config": {"drift_past": "10 minutes"}}, "namespace.config.drift_past", None),
        ({"config": {"drift_past": "8d"}}, "namespace.config.drift_past", "between 1s and 7d"),
        ({"slos": {"raed": Objective()}}, "namespace.slos.raed", "did you mean 'read'?"),
        (
            {"slos": {"write": Objective(latency=LatencyObjective(max=Duration(1)))}},
            "namespace.slos.write.latency.max",
            "between 1ms and 1h",
        ),
        (
            {"slos": {"read": Objective(latency=LatencyObjective(target=Duration(9 * MS), max=Duration(8 * MS)))}},
            "namespace.slos.read.latency.target",
            None,
        ),
        ({"quotas": Quotas(burst=Duration(1))}, "namespace.quotas.burst", "between 10ms and 1h"),
    ],
)
async def test_what_is_wrong_is_named_with_what_would_be_right(
    stage: Stage, namespaces: Namespaces, parts: dict[str, Any], field: str, hint: str | None
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await namespaces.put(namespace=spec(**parts))
    assert caught.value.field == field
    assert hint is None or hint in str(caught.value.hint)
    assert [info.name for info in (await namespaces.list()).namespaces] == ["home"]


async def test_no_namespace_has_the_name_that_grants_for_all_files_are_given_on(namespaces: Namespaces) -> None:
    with pytest.raises(InvalidArgument, match="grants on all files") as caught:
        await namespaces.put(namespace=spec("blobs"))
    assert caught.value.field == "namespace.name"


async def test_objectives_may_be_for_an_operation(namespaces: Namespaces) -> None:
    objective = Objective(latency=LatencyObjective(target=Duration(5 * MS), max=Duration(50 * MS)))
    info = await namespaces.put(namespace=spec(slos={"disturb": objective, "read": objective}))
    assert info.slos["disturb"] == objective


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ({}, {"config": {"key_order": "desc"}}, "namespace.config.key_order"),
        ({}, {"config": {"conditional_writes": False}}, "namespace.config.conditional_writes"),
        ({}, {"engines": {"records": "other"}}, "namespace.engines.records"),
        ({}, {"abstraction": "kv"}, "namespace.abstraction"),
    ],
)
async def test_what_is_fixed_at_creation_stays(
    open_stage: OpenStage, before: dict[str, Any], after: dict[str, Any], field: str
) -> None:
    async with open_stage({"engines": {"other": {"url": "memory:"}}}) as stage:
        namespaces = stage.client(Namespaces)
        await namespaces.put(namespace=spec(**before))
        with pytest.raises(InvalidArgument, match="since the namespace was created") as caught:
            await namespaces.put(namespace=spec(**after))
        assert caught.value.field == field
        assert (await namespaces.get(name="x")).version == 1


async def test_an_unknown_name_cannot_be_deleted(namespaces: Namespaces) -> None:
    with pytest.raises(NotFound) as caught:
        await namespaces.delete(name="hme")
    assert caught.value.hint == "did you mean 'home'?"


async def test_there_are_only_so_many(open_stage: OpenStage) -> None:
    async with open_stage({"control": {"namespaces_limit": 2}}) as stage:
        await make(stage, "a")
        await make(stage, "b")
        with pytest.raises(Exhausted) as caught:
            await make(stage, "c")
        assert caught.value.retryable is False
        await make(stage, "a", config={"greeting": "hi"})


async def test_deleting_drops_the_tables(stage: Stage, namespaces: Namespaces) -> None:
    await namespaces.delete(name="home")
    assert await tables_of(stage) == []


async def test_a_creation_whose_tables_fail_leaves_nothing_behind(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Unwilling(environment)
    engine.refused = {"notes/x/1"}
    async with open_stage(engines={"default": engine}) as stage:
        namespaces = stage.client(Namespaces)
        with pytest.raises(Unavailable, match="disk is full"):
            await namespaces.put(namespace=spec(config={"parts": 2}))
        assert await tables_of(stage) == []
        engine.refused = set()
        assert (await namespaces.put(namespace=spec())).version == 1


@pytest.mark.parametrize("refused", [(), ("drop notes/x/0",)])
async def test_what_could_not_be_created_is_not_there_to_be_deleted(
    open_stage: OpenStage, environment: VirtualEnvironment, refused: tuple[str, ...]
) -> None:
    engine = Unwilling(environment)
    async with open_stage(engines={"default": engine}) as stage:
        namespaces = stage.client(Namespaces)
        engine.refused |= {"notes/x/0", "drop notes/x/0"}
        with pytest.raises(Unavailable):
            await namespaces.put(namespace=spec())
        engine.refused = set(refused)
        with pytest.raises(NotFound):
            await namespaces.delete(name="x")
        engine.refused.clear()
        await namespaces.put(namespace=spec())
        assert [change.action for change in (await namespaces.history(name="x")).changes] == ["created"]


async def test_a_deletion_that_is_stuck_is_finished_by_the_follower(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Unwilling(environment)
    async with open_stage(engines={"default": engine}) as stage:
        namespaces = stage.client(Namespaces)
        await make(stage)
        engine.refused = {"drop notes/home/0"}
        with pytest.raises(Unavailable, match="disk is away") as refused:
            await namespaces.delete(name="home")
        assert refused.value.outcome == "unknown"
        with pytest.raises(NotFound):
            await namespaces.get(name="home")
        with pytest.raises(InProgress, match="is being deleted"):
            await make(stage)
        engine.refused = set()
        environment.advance(61)
        await stage.run_background()
        assert await tables_of(stage) == []
        await make(stage)


async def test_a_deletion_that_could_not_begin_leaves_the_namespace_served(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Unwilling(environment)
    async with open_stage(engines={"default": engine}) as stage:
        await make(stage)
        engine.refused = {"write system/namespaces"}
        with pytest.raises(Unavailable, match="disk is full") as refused:
            await stage.client(Namespaces).delete(name="home")
        assert refused.value.outcome == "not_applied"
        assert (await stage.client(Namespaces).get(name="home")).version == 1
        await stage.client(Notes, "home").write(name="n", text="t")


async def test_gates_follow_quotas(stage: Stage, namespaces: Namespaces) -> None:
    gates = service_of(stage) and stage.operation("notes", "read")._gates
    await namespaces.put(namespace=spec(quotas=Quotas(in_flight=3)))
    assert gates["x"].limit == 3
    await namespaces.put(namespace=spec(quotas=Quotas(in_flight=4)))
    assert gates["x"].limit == 4
    await namespaces.delete(name="x")
    assert "x" not in gates


async def test_the_view_tells_the_configurations_before_with_their_ends(
    stage: Stage, namespaces: Namespaces, environment: VirtualEnvironment
) -> None:
    views = service_of(stage).context.namespaces
    assert views.view("home").earlier == ()
    ends: list[int] = []
    for greeting in ("hi", "ho"):
        environment.advance(60)
        ends.insert(0, environment.now_us())
        await make(stage, config={"greeting": greeting})
    view = views.view("home")
    assert [(each.config.greeting, each.until_us) for each in view.earlier] == [("hi", ends[0]), ("", ends[1])]


async def test_a_change_of_something_else_is_no_other_configuration(stage: Stage, namespaces: Namespaces) -> None:
    await make(stage, config={"greeting": "hi"})
    await make(stage, config={"greeting": "hi"}, quotas=Quotas(in_flight=3))
    earlier = service_of(stage).context.namespaces.view("home").earlier
    assert [each.config.greeting for each in earlier] == [""]


async def test_earlier_configurations_are_forgotten_after_a_week_and_a_day(
    stage: Stage, environment: VirtualEnvironment
) -> None:
    await make(stage, config={"greeting": "hi"})
    environment.advance(EARLIER_KEPT_US / 1e6 + 1)
    await make(stage, config={"greeting": "ho"})
    earlier = service_of(stage).context.namespaces.view("home").earlier
    assert [each.config.greeting for each in earlier] == ["hi"]


async def test_knobs_that_do_not_linger_make_no_earlier_configuration(stage: Stage) -> None:
    await make(stage, config={"greeting": "hi"})
    for number in range(EARLIER_MAX + 3):
        await make(stage, config={"greeting": "hi", "length_limit": number + 1})
    earlier = service_of(stage).context.namespaces.view("home").earlier
    assert [each.config.greeting for each in earlier] == [""]


async def test_a_knob_that_lingers_changes_no_more_often_than_is_remembered(
    stage: Stage, environment: VirtualEnvironment
) -> None:
    await make(stage)
    for number in range(EARLIER_MAX):
        await make(stage, config={"greeting": str(number)})
    with pytest.raises(Exhausted, match="greeting changed 32 times within 8 days") as caught:
        await make(stage, config={"greeting": "one too many"})
    assert len(service_of(stage).context.namespaces.view("home").earlier) == EARLIER_MAX
    assert caught.value.retry_after_ms is not None
    environment.advance(caught.value.retry_after_ms / 1_000 + 1)
    await make(stage, config={"greeting": "in time"})


async def test_history_is_kept_up_to_its_limit(open_stage: OpenStage) -> None:
    async with open_stage({"control": {"history_limit": 3}}) as stage:
        for number in range(6):
            await make(stage, config={"length_limit": number + 1})
        changes = (await stage.client(Namespaces).history(name="home")).changes
        assert [change.version for change in changes] == [6, 5, 4]


async def test_history_is_kept_for_its_time(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    async with open_stage({"control": {"history_ttl": "1d"}}) as stage:
        await make(stage)
        environment.advance(86_000)
        await make(stage, config={"greeting": "hi"})
        environment.advance(1_000)
        changes = (await stage.client(Namespaces).history(name="home")).changes
        assert [change.version for change in changes] == [2]


class Slow(MemoryRecords):
    """An engine whose next write to the stage's namespaces is there at once and answered when the test says so."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        super().__init__(environment)
        self.before: asyncio.Event | None = None
        self.after: asyncio.Event | None = None

    async def apply(self, table: str, *arguments: Any, **named: Any) -> int:
        if table == "system/namespaces" and self.before is not None:
            await self.before.wait()
        stamp_us = await super().apply(table, *arguments, **named)
        if table == "system/namespaces" and self.after is not None:
            await self.after.wait()
        return stamp_us


async def cut_off(call: Any) -> None:
    """`call` has come to where it waits, and was cancelled there."""
    running = asyncio.ensure_future(call)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def slow(environment: VirtualEnvironment) -> Slow:
    return Slow(environment)


@pytest.fixture
async def cut(open_stage: OpenStage, slow: Slow) -> AsyncIterator[Stage]:
    """A stage in which the deletion of `home` was cut off while its mark was made durable."""
    async with open_stage(engines={"default": slow}) as stage:
        await make(stage)
        slow.after = asyncio.Event()
        await cut_off(stage.client(Namespaces).delete(name="home"))
        slow.after = None
        yield stage


async def test_nothing_is_acknowledged_into_a_namespace_whose_deletion_was_cut_off(cut: Stage) -> None:
    with pytest.raises(NotFound):
        await cut.client(Notes, "home").write(name="a", text="lost")


async def test_a_deletion_that_was_cut_off_is_finished_by_repeating_it(cut: Stage) -> None:
    assert (await cut.client(Namespaces).delete(name="home")).version == 1
    assert await cut.namespaces.store.find("home") is None
    assert await tables_of(cut) == []


async def test_a_deletion_that_was_cut_off_is_finished_by_who_makes_the_namespace_again(cut: Stage) -> None:
    await make(cut)
    await cut.client(Notes, "home").write(name="a", text="kept")
    await cut.run_background()
    assert (await cut.client(Notes, "home").read(name="a")).text == "kept"


async def test_a_deletion_that_was_cut_off_is_finished_with_the_next_poll(cut: Stage) -> None:
    await cut.run_background()
    assert await cut.namespaces.store.find("home") is None


async def test_a_deletion_cut_off_before_its_mark_leaves_a_namespace_that_is_served_again(
    open_stage: OpenStage, slow: Slow
) -> None:
    async with open_stage(engines={"default": slow}) as stage:
        await make(stage)
        slow.before = asyncio.Event()
        await cut_off(stage.client(Namespaces).delete(name="home"))
        slow.before = None
        await stage.run_background()
        await stage.client(Notes, "home").write(name="a", text="kept")


async def test_who_puts_what_is_stored_already_is_served(open_stage: OpenStage, slow: Slow) -> None:
    async with open_stage(engines={"default": slow}) as stage:
        await make(stage)
        stage.namespaces.applied.doubt("home")
        await make(stage)
        await stage.client(Notes, "home").write(name="a", text="kept")


async def test_a_creation_that_was_cut_off_can_be_repeated_at_once(open_stage: OpenStage, slow: Slow) -> None:
    async with open_stage(engines={"default": slow}) as stage:
        slow.after = asyncio.Event()
        await cut_off(make(stage))
        slow.after = None
        await make(stage)
        await stage.client(Notes, "home").write(name="a", text="kept")


async def test_what_was_cut_off_long_ago_is_left_to_whoever_may_be_at_it(
    cut: Stage, environment: VirtualEnvironment
) -> None:
    environment.advance(ABANDONED_US / 2e6)
    with pytest.raises(InProgress, match="is being deleted"):
        await make(cut)
    with pytest.raises(NotFound):
        await cut.client(Namespaces).delete(name="home")
