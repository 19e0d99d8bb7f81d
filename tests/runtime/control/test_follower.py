from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from tests.runtime.conftest import OpenStage, make, service_of
from tests.runtime.notes.api import Notes

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, NotFound, PreconditionFailed, Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.core.namespace import NamespaceSpec, Quotas
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Capability
from soundstage.runtime.control.store import Stored
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.runtime.system_table import SystemTable

DECLARED: Mapping[str, Any] = {"abstraction": "notes", "config": {"greeting": "hi "}, "quotas": {"in_flight": 9}}


class Lasting(MemoryRecords):
    """A memory engine that several stages use at once, as processes share a real one; it never stops."""

    running = False

    async def start(self) -> None:
        if not self.running:
            await super().start()
            self.running = True

    async def stop(self) -> None:
        return


@pytest.fixture
def engine(environment: VirtualEnvironment) -> Lasting:
    return Lasting(environment)


EMPTY: Mapping[str, Any] = {}


def declaring(**namespaces: Any) -> dict[str, Any]:
    return {"namespaces": namespaces}


async def test_changes_of_another_process_arrive_with_the_poll(open_stage: OpenStage, engine: Lasting) -> None:
    async with open_stage(engines={"default": engine}) as one, open_stage(engines={"default": engine}) as two:
        await make(one, config={"greeting": "hi "})
        with pytest.raises(NotFound):
            await two.client(Notes, "home").read(name="a")
        await two.run_background()
        await two.client(Notes, "home").write(name="a", text="Ada")
        await make(one, config={"greeting": "bye "})
        await two.run_background()
        assert (await two.client(Notes, "home").read(name="a")).text == "bye Ada"
        await one.client(Namespaces).delete(name="home")
        await two.run_background()
        with pytest.raises(NotFound):
            await two.client(Notes, "home").read(name="a")


async def test_a_poll_without_changes_applies_nothing_anew(open_stage: OpenStage, engine: Lasting) -> None:
    async with open_stage(engines={"default": engine}) as stage:
        await make(stage)
        await stage.run_background()
        view = service_of(stage).context.namespaces.view("home")
        await stage.run_background()
        assert service_of(stage).context.namespaces.view("home") is view


async def test_two_processes_that_change_one_namespace_both_succeed(open_stage: OpenStage, engine: Lasting) -> None:
    async with open_stage(engines={"default": engine}) as one, open_stage(engines={"default": engine}) as two:
        await make(one)
        await make(two, config={"greeting": "hi "})
        await make(one, config={"greeting": "bye "})
        info = (await two.client(Namespaces).history(name="home")).changes[0].namespace
        assert (info.version, info.config["greeting"]) == (3, "bye ")


async def test_namespaces_and_data_survive_a_restart(open_stage: OpenStage, engine: Lasting) -> None:
    async with open_stage(engines={"default": engine}) as stage:
        await make(stage, config={"greeting": "hi "})
        await stage.client(Notes, "home").write(name="a", text="Ada")
        before = await stage.client(Namespaces).get(name="home")
    async with open_stage(engines={"default": engine}) as stage:
        assert await stage.client(Namespaces).get(name="home") == before
        assert (await stage.client(Notes, "home").read(name="a")).text == "hi Ada"


async def test_the_stage_files_namespaces_are_there_at_start(open_stage: OpenStage) -> None:
    async with open_stage(declaring(home=DECLARED)) as stage:
        info = await stage.client(Namespaces).get(name="home")
        assert (info.managed_by, info.config["greeting"], info.quotas.in_flight) == ("file", "hi ", 9)
        changes = (await stage.client(Namespaces).history(name="home")).changes
        assert [(change.by, change.action) for change in changes] == [("stage file", "created")]


async def test_a_namespace_of_the_file_is_not_changed_by_api(open_stage: OpenStage) -> None:
    async with open_stage(declaring(home=DECLARED)) as stage:
        namespaces = stage.client(Namespaces)
        with pytest.raises(PreconditionFailed, match="managed by the stage file") as caught:
            await make(stage)
        assert "[namespaces.home]" in str(caught.value.hint)
        with pytest.raises(PreconditionFailed):
            await namespaces.delete(name="home")
        assert (await namespaces.get(name="home")).version == 1


async def test_an_unchanged_file_changes_nothing(open_stage: OpenStage, engine: Lasting) -> None:
    for _ in range(2):
        async with open_stage(declaring(home=DECLARED), engines={"default": engine}) as stage:
            assert (await stage.client(Namespaces).get(name="home")).version == 1


async def test_a_changed_file_changes_its_namespaces(open_stage: OpenStage, engine: Lasting) -> None:
    async with open_stage(declaring(home=DECLARED), engines={"default": engine}):
        pass
    changed = declaring(home={**DECLARED, "config": {"greeting": "bye "}})
    async with open_stage(changed, engines={"default": engine}) as stage:
        change = (await stage.client(Namespaces).history(name="home")).changes[0]
        assert (change.version, change.by, change.changed) == (2, "stage file", ["config.greeting"])


async def test_the_file_takes_over_a_namespace_made_by_api(open_stage: OpenStage, engine: Lasting) -> None:
    async with open_stage(engines={"default": engine}) as stage:
        await make(stage, config={"greeting": "hi "}, quotas=None)
        await stage.client(Notes, "home").write(name="a", text="Ada")
    declared = declaring(home={"abstraction": "notes", "config": {"greeting": "hi "}})
    async with open_stage(declared, engines={"default": engine}) as stage:
        change = (await stage.client(Namespaces).history(name="home")).changes[0]
        assert (change.namespace.managed_by, change.changed) == ("file", ["managed_by"])
        assert (await stage.client(Notes, "home").read(name="a")).text == "hi Ada"


async def test_a_namespace_taken_out_of_the_file_stays_and_is_free_to_change(
    open_stage: OpenStage, engine: Lasting
) -> None:
    async with open_stage(declaring(home=DECLARED), engines={"default": engine}) as stage:
        await stage.client(Notes, "home").write(name="a", text="Ada")
    async with open_stage(engines={"default": engine}) as stage:
        namespaces = stage.client(Namespaces)
        assert (await namespaces.get(name="home")).managed_by == "api"
        assert (await stage.client(Notes, "home").read(name="a")).text == "hi Ada"
        await namespaces.delete(name="home")


@pytest.mark.parametrize(
    ("declared", "field"),
    [
        ({"abstraction": "noets"}, "namespaces.home.abstraction"),
        ({"abstraction": "notes", "config": {"gretting": ""}}, "namespaces.home.config.gretting"),
        ({"abstraction": "notes", "engines": {"records": "none"}}, "namespaces.home.engines.records"),
    ],
)
async def test_a_wrong_declaration_keeps_the_stage_from_starting(
    open_stage: OpenStage, declared: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await open_stage(declaring(home=declared)).start()
    assert caught.value.field == field


async def test_a_declared_namespace_whose_engine_is_gone_keeps_the_stage_from_starting(
    open_stage: OpenStage, engine: Lasting
) -> None:
    declared = declaring(home={"abstraction": "notes", "engines": {"records": "other"}})
    config = {"engines": {"other": {"url": "memory:"}}, **declared}
    async with open_stage(config, engines={"default": engine}):
        pass
    with pytest.raises(InvalidArgument, match="there is no engine 'other'") as caught:
        await open_stage(declared, engines={"default": engine}).start()
    assert caught.value.field == "namespaces.home.engines.records"


async def test_a_declared_namespace_whose_engine_lacks_a_capability_keeps_the_stage_from_starting(
    open_stage: OpenStage, engine: Lasting, environment: VirtualEnvironment
) -> None:
    plain = Lasting(environment)
    plain.capabilities -= {Capability.CONDITIONAL}
    declared = declaring(home={"abstraction": "notes", "engines": {"records": "other"}})
    config = {"engines": {"other": {"url": "memory:"}}, **declared}
    with pytest.raises(InvalidArgument, match="'home' lacks the capability 'conditional'") as caught:
        await open_stage(config, engines={"default": engine, "other": plain}).start()
    assert caught.value.field == "namespaces.home.config.conditional_writes"
    assert "bind another engine" in str(caught.value.hint)


OTHER: Mapping[str, Any] = {"engines": {"other": {"url": "memory:"}}}


async def without_engine(open_stage: OpenStage, engine: Lasting, declared: Mapping[str, Any] = EMPTY) -> Stage:
    """A stage that is not started: `odd` is bound to an engine that its stage file has no more, `fine` is not."""
    async with open_stage({**OTHER, **declared}, engines={"default": engine}) as stage:
        await make(stage, "fine")
        if not declared:
            await make(stage, "odd", engines={"records": "other"})
    return open_stage(engines={"default": engine})


async def without_system(environment: VirtualEnvironment, open_stage: OpenStage, engine: Lasting) -> Stage:
    """A stage that is not started: the system of its namespace `odd` is not installed any more."""
    async with open_stage(engines={"default": engine}) as stage:
        await make(stage, "odd")
    return Stage.open(data="memory:", environment=environment, engines={"default": engine})


async def test_a_stored_namespace_whose_engine_is_gone_leaves_the_others_served(
    open_stage: OpenStage, engine: Lasting
) -> None:
    async with await without_engine(open_stage, engine) as stage:
        await stage.client(Notes, "fine").write(name="a", text="Ada")
        with pytest.raises(Unavailable, match="there is no engine 'other'") as caught:
            await stage.client(Notes, "odd").read(name="a")
    assert caught.value.hint == "add [engines.other] to the stage file, or delete the namespace"


async def test_a_stage_that_cannot_serve_a_namespace_is_ready_and_says_what_to_do(
    environment: VirtualEnvironment, open_stage: OpenStage, engine: Lasting
) -> None:
    async with await without_system(environment, open_stage, engine) as stage:
        health = stage.health()
    assert (health.ready, health.reasons) == (True, [])
    assert health.unserved == [
        "namespace 'odd' cannot be served: there is no abstraction 'notes' (install or mend the package that adds "
        "the system 'notes', or delete the namespace)"
    ]


async def test_what_cannot_be_served_is_logged_with_what_to_do(
    open_stage: OpenStage, engine: Lasting, caplog: pytest.LogCaptureFixture
) -> None:
    async with await without_engine(open_stage, engine):
        told = [record.getMessage() for record in caplog.records]
    assert told == [
        "namespace 'odd' cannot be served: there is no engine 'other' (add [engines.other] to the stage file, or "
        "delete the namespace)"
    ]


async def test_what_cannot_be_served_is_listed_and_shown(open_stage: OpenStage, engine: Lasting) -> None:
    async with await without_engine(open_stage, engine) as stage:
        namespaces = stage.client(Namespaces)
        listed = await namespaces.list()
        assert [each.name for each in listed.namespaces] == ["fine", "odd"]
        assert list(listed.unserved or ()) == ["odd"]
        assert (await namespaces.get(name="odd")).engines == {"records": "other"}


async def test_a_deletion_says_what_it_could_not_reach(open_stage: OpenStage, engine: Lasting) -> None:
    async with await without_engine(open_stage, engine) as stage:
        reply = await stage.client(Namespaces).delete(name="odd")
        assert reply.left == "its tables in the engine 'other', which the stage file does not have"
        assert stage.health().unserved == []
        with pytest.raises(NotFound):
            await stage.client(Namespaces).get(name="odd")


async def test_a_deletion_without_the_system_drops_the_tables_called_after_the_namespace(
    environment: VirtualEnvironment, open_stage: OpenStage, engine: Lasting
) -> None:
    async with await without_system(environment, open_stage, engine) as stage:
        assert (await stage.client(Namespaces).delete(name="odd")).left is None
        assert [table.name for table in await engine.tables() if table.name.startswith("notes")] == []


async def test_a_deletion_of_which_no_table_is_found_says_so(
    environment: VirtualEnvironment, open_stage: OpenStage, engine: Lasting
) -> None:
    async with await without_system(environment, open_stage, engine) as stage:
        for table in await engine.tables():
            if table.name.startswith("notes"):
                await engine.drop_table(table.name)
        left = (await stage.client(Namespaces).delete(name="odd")).left
    assert left == "whatever its tables in the engine 'default' are called: none is called notes/odd"


async def test_a_deletion_half_way_that_nobody_can_finish_is_finished_by_asking_again(
    open_stage: OpenStage, engine: Lasting
) -> None:
    async with open_stage(OTHER, engines={"default": engine}) as stage:
        await make(stage, engines={"records": "other"})
        await half_way(stage, "deleting")
    async with open_stage(engines={"default": engine}) as stage:
        assert await stage.namespaces.store.find("home") is not None
        assert (await stage.client(Namespaces).delete(name="home")).left is not None
        assert await stage.namespaces.store.find("home") is None


async def test_a_namespace_that_left_the_file_with_its_engine_can_be_deleted(
    open_stage: OpenStage, engine: Lasting
) -> None:
    declared = declaring(odd={"abstraction": "notes", "engines": {"records": "other"}})
    async with await without_engine(open_stage, engine, declared) as stage:
        assert (await stage.client(Namespaces).get(name="odd")).managed_by == "api"
        await stage.client(Namespaces).delete(name="odd")


async def test_a_namespace_serves_again_once_its_engine_is_back(open_stage: OpenStage, engine: Lasting) -> None:
    async with await without_engine(open_stage, engine):
        pass
    async with open_stage(OTHER, engines={"default": engine}) as stage:
        await stage.client(Notes, "odd").write(name="a", text="Ada")
        assert stage.health().unserved == []


async def spoilt(open_stage: OpenStage, engine: Lasting) -> Stage:
    """A stage that is not started: its namespace `home` has a knob that this release does not take."""
    async with open_stage(engines={"default": engine}) as stage:
        await make(stage)
        found = await stage.namespaces.store.find("home")
        assert found is not None
        found.stored.info.config["length_limit"] = 0
        await stage.namespaces.store.put(found.stored, found.stamp)
    return open_stage(engines={"default": engine})


async def test_a_put_mends_a_namespace_whose_knobs_are_wrong(open_stage: OpenStage, engine: Lasting) -> None:
    async with await spoilt(open_stage, engine) as stage:
        assert len(stage.health().unserved) == 1
        await make(stage, config={"length_limit": 9})
        await stage.client(Notes, "home").write(name="a", text="Ada")
        assert stage.health().unserved == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"abstraction": "kv"}, "namespace.abstraction"),
        ({"abstraction": "notes", "engines": {"records": "second"}}, "namespace.engines.records"),
        ({"abstraction": "notes", "config": {"conditional_writes": False}}, "namespace.config.conditional_writes"),
    ],
)
async def test_a_put_leaves_what_is_fixed_also_of_what_cannot_be_served(
    open_stage: OpenStage, engine: Lasting, change: dict[str, Any], field: str
) -> None:
    (await spoilt(open_stage, engine)).health()
    second = {"engines": {"second": {"url": "memory:"}}}
    async with open_stage(second, engines={"default": engine}) as stage:
        with pytest.raises(InvalidArgument, match="since the namespace was created") as caught:
            await stage.client(Namespaces).put(namespace=NamespaceSpec(name="home", **change))
    assert caught.value.field == field


async def test_an_engine_that_forgets_gets_its_tables_again(open_stage: OpenStage, engine: Lasting) -> None:
    config = {"engines": {"cache": {"url": "memory:"}}}
    for _ in range(2):
        async with open_stage(config, engines={"default": engine}) as stage:
            await make(stage, engines={"records": "cache"})
            await stage.client(Notes, "home").write(name="a", text="Ada")


async def test_a_process_that_cannot_serve_a_namespace_says_so_and_serves_the_rest(
    open_stage: OpenStage, engine: Lasting
) -> None:
    more = {"engines": {"other": {"url": "memory:"}}}
    async with open_stage(more, engines={"default": engine}) as one, open_stage(engines={"default": engine}) as two:
        await make(one, "fine")
        await make(one, "odd", engines={"records": "other"})
        await two.run_background()
        await two.client(Notes, "fine").write(name="a", text="")
        with pytest.raises(Unavailable, match="'odd' cannot be served here: there is no engine 'other'"):
            await two.client(Notes, "odd").read(name="a")
        assert len(two.health().unserved) == 1
        await one.client(Namespaces).delete(name="odd")
        await two.run_background()
        assert two.health().unserved == []


async def test_knobs_of_a_newer_release_are_ignored(open_stage: OpenStage, engine: Lasting) -> None:
    async with open_stage(engines={"default": engine}) as stage:
        await make(stage)
        store = stage.namespaces.store
        found = await store.find("home")
        assert found is not None
        found.stored.info.config["invented_later"] = 1
        await store.put(found.stored, found.stamp)
    async with open_stage(engines={"default": engine}) as stage:
        await stage.client(Notes, "home").write(name="a", text="")


async def half_way(stage: Stage, state: Any) -> None:
    """`home` is as a process leaves it that dies amid a creation or deletion."""
    store = stage.namespaces.store
    found = await store.find("home")
    assert found is not None
    now_us = stage.environment.now_us()
    await store.put(Stored(info=found.stored.info, state=state, since_us=now_us), found.stamp)


@pytest.mark.parametrize("state", ["creating", "deleting"])
async def test_what_is_half_way_at_start_is_cleared_away(open_stage: OpenStage, engine: Lasting, state: str) -> None:
    async with open_stage(engines={"default": engine}) as stage:
        await make(stage)
        await half_way(stage, state)
    async with open_stage(engines={"default": engine}) as stage:
        assert [table.name for table in await engine.tables() if table.name.startswith("notes")] == []
        await make(stage)


@pytest.mark.parametrize("state", ["creating", "deleting"])
async def test_what_another_process_is_busy_with_is_left_alone_for_a_minute(
    open_stage: OpenStage, engine: Lasting, environment: VirtualEnvironment, state: str
) -> None:
    async with open_stage(engines={"default": engine}) as one, open_stage(engines={"default": engine}) as two:
        await make(one)
        await half_way(one, state)
        await two.run_background()
        assert await two.namespaces.store.find("home") is not None
        environment.advance(61)
        await two.run_background()
        assert await two.namespaces.store.find("home") is None


async def test_the_fewest_words_make_a_namespace(open_stage: OpenStage) -> None:
    async with open_stage(declaring(home={"abstraction": "notes"})) as stage:
        assert (await stage.client(Namespaces).get(name="home")).version == 1
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name="x", abstraction="notes"))


async def test_a_look_finds_what_another_process_had_made_before(open_stage: OpenStage, engine: Lasting) -> None:
    async with open_stage(engines={"default": engine}) as one, open_stage(engines={"default": engine}) as two:
        await make(one)
        await two._parts.follower.look()
        await two.client(Notes, "home").write(name="a", text="Ada")


async def test_many_who_look_at_once_share_one_look_and_none_misses_anything(
    open_stage: OpenStage, engine: Lasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_stage(engines={"default": engine}) as one, open_stage(engines={"default": engine}) as two:
        follower = two._parts.follower
        looks, follow, go = 0, follower.follow, asyncio.Event()

        async def counted() -> None:
            nonlocal looks
            looks += 1
            await go.wait()
            await follow()

        monkeypatch.setattr(follower, "follow", counted)
        first = asyncio.ensure_future(follower.look())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await make(one)
        later = [asyncio.ensure_future(follower.look()) for _ in range(20)]
        go.set()
        await asyncio.gather(first, *later)
        assert looks == 2
        assert "home" in two.namespaces.applied.infos


async def test_a_look_at_a_store_that_is_away_is_no_failure(
    open_stage: OpenStage, engine: Lasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_stage(engines={"default": engine}) as stage:

        async def away() -> None:
            raise Unavailable("down")

        monkeypatch.setattr(stage._parts.follower, "follow", away)
        await stage._parts.follower.look()


BAD_PARTS: list[dict[str, Any]] = [
    {"quotas": {"reads_per_second": 1e-300}},
    {"quotas": {"in_flight": -5}},
    {"quotas": {"burst": 5}},
    {"slos": {"read": {"latency": {"max": 5}}}},
    {"version": "one"},
]


async def unreadable(open_stage: OpenStage, engine: Lasting, parts: dict[str, Any]) -> Stage:
    """A stage in whose store `home` cannot be read and `fine` can."""
    async with open_stage(engines={"default": engine}) as stage:
        await make(stage, "fine")
        await make(stage)
        table = SystemTable(engine, "namespaces", TokenClock(stage.environment), stage.environment)
        entry = await table.get("namespaces", "n/home")
        assert entry is not None
        raw = msgspec.msgpack.decode(entry.value)
        raw["info"] |= parts
        await table.write("namespaces", {"n/home": msgspec.msgpack.encode(raw)}, {"n/home": entry.stamp})
    return open_stage(engines={"default": engine})


@pytest.mark.parametrize("parts", BAD_PARTS)
async def test_a_stored_namespace_that_cannot_be_read_leaves_the_others_served(
    open_stage: OpenStage, engine: Lasting, parts: dict[str, Any]
) -> None:
    async with await unreadable(open_stage, engine, parts) as stage:
        await stage.client(Notes, "fine").write(name="a", text="Ada")
        with pytest.raises(Unavailable, match="'home' cannot be served here: what is stored of it cannot be read"):
            await stage.client(Notes, "home").read(name="a")


@pytest.mark.parametrize("parts", BAD_PARTS)
async def test_a_put_mends_what_cannot_be_read(open_stage: OpenStage, engine: Lasting, parts: dict[str, Any]) -> None:
    async with await unreadable(open_stage, engine, parts) as stage:
        await make(stage)
        await stage.client(Notes, "home").write(name="a", text="Ada")
    async with open_stage(engines={"default": engine}) as stage:
        assert stage.health().unserved == []


async def test_what_cannot_be_read_can_be_deleted(open_stage: OpenStage, engine: Lasting) -> None:
    async with await unreadable(open_stage, engine, BAD_PARTS[0]) as stage:
        await stage.client(Namespaces).delete(name="home")
        assert stage.health().unserved == []


async def test_history_that_cannot_be_read_is_told_as_far_as_it_can(open_stage: OpenStage, engine: Lasting) -> None:
    async with open_stage(engines={"default": engine}) as stage:
        await make(stage)
        table = SystemTable(engine, "namespaces", TokenClock(stage.environment), stage.environment)
        [(key, entry)] = (await table.read("namespaces", "h/home/")).items()
        raw = msgspec.msgpack.decode(entry.value)
        raw["namespace"]["quotas"] = {"in_flight": -5}
        await table.write("namespaces", {key: msgspec.msgpack.encode(raw)}, {key: entry.stamp})
        [change] = (await stage.client(Namespaces).history(name="home")).changes
    assert (change.action, change.namespace.name, change.namespace.quotas) == ("created", "home", Quotas())


async def test_whatever_applying_a_namespace_fails_by_the_others_are_served(
    open_stage: OpenStage, engine: Lasting
) -> None:
    async with open_stage(engines={"default": engine}) as stage:
        await make(stage, "fine")
        await make(stage)
        found = await stage.namespaces.store.find("home")
        assert found is not None
        no_number: Any = "9"
        info = msgspec.structs.replace(found.stored.info, quotas=Quotas(in_flight=no_number))
        stage.namespaces.applied.apply(found._replace(stored=Stored(info=info)))
        [unserved] = stage.health().unserved
        await stage.client(Notes, "fine").write(name="a", text="Ada")
    assert "TypeError" in unserved
