"""A namespace as a process serves it, and the table it needs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.data.kv.caches import Flaky
from tests.data.kv.conftest import OpenStage, make
from tests.data.kv.engines import Copied

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.core.message import Duration
from soundstage.core.namespace import LatencyObjective, Objective
from soundstage.data.kv.config import NamespaceConfig
from soundstage.data.kv.namespace import (
    PAGED,
    REPAIRED_US,
    ServedNamespace,
    check_cache,
    table_name,
    tables,
    takes_conditions,
)
from soundstage.engines.cache.memory import MemoryCache
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Capability, TableSpec
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.service import Earlier, NamespaceView
from soundstage.runtime.stage import Stage

ABLE = frozenset({Capability.CONDITIONAL})
COSTLY = ABLE | {Capability.COSTLY_CONDITIONS}
UNABLE: frozenset[str] = frozenset()
S = 1_000_000_000


def view(environment: VirtualEnvironment, generation: int = 1, **parts: Any) -> NamespaceView:
    given: dict[str, Any] = {"config": NamespaceConfig(), "slos": {}, **parts}
    return NamespaceView(
        name="people",
        abstraction="kv",
        version=1,
        generation=generation,
        records=MemoryRecords(environment),
        **given,
    )


def served(environment: VirtualEnvironment, before: ServedNamespace | None = None, **parts: Any) -> ServedNamespace:
    return ServedNamespace(view(environment, **parts), environment, before)


def within(milliseconds: int | None) -> Objective:
    return Objective(latency=LatencyObjective(max=None if milliseconds is None else Duration(milliseconds * 1_000_000)))


def test_a_namespace_has_a_table_of_its_name_and_one_for_its_large_values() -> None:
    assert tables("people", NamespaceConfig(), UNABLE) == [
        TableSpec(name="kv/people"),
        TableSpec(name="kv/people/values"),
    ]


def test_the_table_of_large_values_has_neither_conditions_nor_an_order_and_is_never_eventual() -> None:
    config = NamespaceConfig(key_order="desc", conditional_writes=False, consistency="eventual", dedicated=True)
    _, values = tables("people", config, ABLE)
    assert values == TableSpec(name="kv/people/values", dedicated=True)


def test_the_knobs_decide_the_table() -> None:
    config = NamespaceConfig(
        key_order="desc",
        conditional_writes=True,
        dedicated=True,
        drift_past=Duration(60 * S),
        delete_ttl_min=Duration(2 * S),
        delete_ttl_max=Duration(3 * S),
    )
    spec = TableSpec(
        name="kv/people",
        conditional=True,
        key_order="desc",
        dedicated=True,
        max_lag_us=60_000_000,
        delete_ttl_min_us=2_000_000,
        delete_ttl_max_us=3_000_000,
    )
    values = msgspec.structs.replace(spec, name="kv/people/values", conditional=False, key_order="asc")
    assert tables("people", config, ABLE) == [spec, values]


@pytest.mark.parametrize(
    ("asked", "capabilities", "taken"),
    [
        (None, ABLE, True),
        (None, UNABLE, False),
        (None, COSTLY, False),
        (True, COSTLY, True),
        (True, ABLE, True),
        (False, ABLE, False),
        (False, UNABLE, False),
    ],
)
def test_conditions_are_taken_as_configured_or_where_they_cost_the_engine_little(
    asked: bool | None, capabilities: frozenset[str], taken: bool
) -> None:
    config = NamespaceConfig(conditional_writes=asked)
    assert takes_conditions(config, capabilities) is taken
    assert tables("people", config, capabilities)[0].conditional is taken


def test_conditions_on_an_engine_that_cannot_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="takes no conditional writes") as refused:
        tables("people", NamespaceConfig(conditional_writes=True), UNABLE)
    assert refused.value.field == "conditional_writes"
    assert "another engine" in (refused.value.hint or "")


async def test_what_an_engine_cannot_is_refused_by_the_path_of_the_knob_in_the_request(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = MemoryRecords(environment)
    engine.capabilities -= {Capability.CONDITIONAL}
    stage = await open_stage(engine)
    with pytest.raises(InvalidArgument) as refused:
        await make(stage, "people", conditional_writes=True)
    assert refused.value.field == "namespace.config.conditional_writes"


def test_knobs_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="delete_ttl_min"):
        tables("people", NamespaceConfig(delete_ttl_min=Duration(2 * 86_400 * S)), ABLE)


def test_the_window_is_that_of_the_knobs(environment: VirtualEnvironment) -> None:
    config = NamespaceConfig(drift_past=Duration(60 * S), drift_future=Duration(S))
    assert served(environment, config=config).window == (60_000_000, 1_000_000, 0)


def test_earlier_shorter_drifts_narrow_the_window(environment: VirtualEnvironment) -> None:
    now_us = environment.now_us()
    short, long = NamespaceConfig(drift_past=Duration(60 * S)), NamespaceConfig(drift_past=Duration(3_600 * S))
    found = served(environment, earlier=(Earlier(long, now_us), Earlier(short, now_us - 5)))
    assert found.window.floor_us == now_us - 5 - 60_000_000


@pytest.mark.parametrize("weaker", [{"consistency": "eventual"}, {"consistency_scope": "local"}])
def test_what_was_written_under_a_weaker_promise_is_found_for_sure_once_copies_were_repaired(
    environment: VirtualEnvironment, weaker: dict[str, Any]
) -> None:
    before = Earlier(NamespaceConfig(**weaker), environment.now_us())
    seen = msgspec.structs.replace(view(environment, earlier=(before,)), records=Copied(environment))
    found = ServedNamespace(seen, environment)
    environment.advance(REPAIRED_US / 1e6 - 1)
    assert not found.settled
    environment.advance(1)
    assert found.settled


@pytest.mark.parametrize(("scope", "settled"), [(None, False), ("local", False), ("global", True)])
def test_where_few_copies_answer_for_who_names_no_scope_reads_find_less(
    environment: VirtualEnvironment, scope: Any, settled: bool
) -> None:
    engine = Copied(environment)
    engine.capabilities |= {Capability.LOOSE}
    seen = view(environment, config=NamespaceConfig(consistency_scope=scope))
    assert ServedNamespace(msgspec.structs.replace(seen, records=engine), environment).settled == settled


def test_where_rows_have_no_copies_every_read_finds_what_was_acknowledged(environment: VirtualEnvironment) -> None:
    assert served(environment, config=NamespaceConfig(consistency="eventual")).settled


def test_without_objectives_nothing_ends_early(environment: VirtualEnvironment) -> None:
    assert served(environment).max_ns == dict.fromkeys(PAGED)


@pytest.mark.parametrize(
    ("slos", "most"),
    [
        ({"read": within(100)}, 100_000_000),
        ({"read": within(100), "get_items": within(50)}, 50_000_000),
        ({"get_items": within(50)}, 50_000_000),
        ({"read": within(None)}, None),
        ({"write": within(100)}, None),
    ],
)
def test_the_objective_of_the_operation_goes_before_that_of_reads(
    environment: VirtualEnvironment, slos: dict[str, Objective], most: int | None
) -> None:
    assert served(environment, slos=slos).max_ns["get_items"] == most


def test_the_next_version_goes_on_with_what_was_learnt(environment: VirtualEnvironment) -> None:
    before = served(environment)
    after = served(environment, before, config=NamespaceConfig(drift_future=Duration(9 * S)))
    assert (after.estimate, after.amplification) == (before.estimate, before.amplification)
    assert (after.clock, after.clock.drift_future_us) == (before.clock, 9_000_000)


def test_a_namespace_made_anew_begins_anew(environment: VirtualEnvironment) -> None:
    before = served(environment)
    after = served(environment, before, generation=2)
    assert (after.estimate is before.estimate, after.clock is before.clock) == (False, False)


def test_descending_order_is_known(environment: VirtualEnvironment) -> None:
    assert [served(environment, config=NamespaceConfig(key_order=order)).descending for order in ("asc", "desc")] == [
        False,
        True,
    ]


def test_tables_of_kv_are_told_from_those_of_others() -> None:
    assert table_name("people") == "kv/people"


@pytest.mark.parametrize(("config", "eventual"), [({}, False), ({"consistency": "eventual"}, True)])
def test_the_table_knows_whether_replicas_are_to_agree(config: dict[str, Any], eventual: bool) -> None:
    table, _ = tables("people", NamespaceConfig(**config), UNABLE)
    assert (table.eventual is True) is eventual


@pytest.mark.parametrize("shared", [Capability.SHARED, Capability.HOSTED])
def test_a_cache_that_hears_nothing_of_other_writers_is_refused(
    environment: VirtualEnvironment, shared: Capability
) -> None:
    with pytest.raises(InvalidArgument, match="hears nothing") as refused:
        check_cache(MemoryCache(environment), frozenset({shared}))
    assert refused.value.field == "cache.engine"


def test_a_store_that_nobody_else_writes_to_takes_a_cache_of_its_process(environment: VirtualEnvironment) -> None:
    check_cache(MemoryCache(environment), ABLE)


@pytest.mark.parametrize("shared", [Capability.SHARED, Capability.HOSTED])
def test_a_shared_store_takes_a_shared_cache(environment: VirtualEnvironment, shared: Capability) -> None:
    check_cache(Flaky(environment), frozenset({shared}))


@pytest.mark.parametrize(("conditional", "capabilities"), [(None, ABLE), (False, ABLE), (True, ABLE), (True, COSTLY)])
def test_records_are_linearizable_where_one_process_or_the_replicas_decide(
    conditional: bool | None, capabilities: frozenset[str]
) -> None:
    config = NamespaceConfig(consistency="linearizable", conditional_writes=conditional)
    rows, values = tables("people", config, capabilities)
    assert (rows.serial, values.serial) == (True, msgspec.UNSET)


@pytest.mark.parametrize(("conditional", "capabilities"), [(None, COSTLY), (False, COSTLY), (None, UNABLE)])
def test_linearizable_is_refused_with_the_reason_where_writes_are_not_decided(
    conditional: bool | None, capabilities: frozenset[str]
) -> None:
    config = NamespaceConfig(consistency="linearizable", conditional_writes=conditional)
    with pytest.raises(InvalidArgument, match="takes conditions") as refused:
        tables("people", config, capabilities)
    assert refused.value.field == "consistency"
    assert "conditional_writes" in (refused.value.hint or "")


@pytest.mark.parametrize("consistency", ["strong", "read_your_writes"])
def test_other_namespaces_are_not_read_serially(consistency: Any) -> None:
    assert tables("people", NamespaceConfig(consistency=consistency), ABLE)[0].serial is msgspec.UNSET


@pytest.mark.parametrize("scope", ["local", "global"])
def test_both_tables_have_the_scope_of_the_namespace(scope: Any) -> None:
    found = tables("people", NamespaceConfig(consistency_scope=scope), COSTLY | {Capability.COPIES})
    assert [table.scope for table in found] == [scope, scope]


def test_without_a_scope_the_engine_decides() -> None:
    assert [table.scope for table in tables("people", NamespaceConfig(), COSTLY)] == [msgspec.UNSET] * 2


@pytest.mark.parametrize("scope", ["local", "global"])
def test_a_scope_is_refused_with_the_reason_where_there_are_no_data_centres(scope: Any) -> None:
    with pytest.raises(InvalidArgument, match="no copies in several data centres") as refused:
        tables("people", NamespaceConfig(consistency_scope=scope), ABLE)
    assert (refused.value.field, "Cassandra" in (refused.value.hint or "")) == ("consistency_scope", True)


async def put_with_scopes(stage: Stage, scopes: tuple[str, str], **config: Any) -> None:
    for scope in scopes:
        await make(stage, "people", consistency_scope=scope, **config)


async def test_who_decides_about_conditions_is_fixed(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    stage = await open_stage(Copied(environment))
    with pytest.raises(InvalidArgument, match="since the namespace was created") as refused:
        await put_with_scopes(stage, ("local", "global"), conditional_writes=True)
    assert refused.value.field == "namespace.config.consistency_scope"


@pytest.mark.parametrize("scopes", [("local", "global"), ("global", "local")])
async def test_without_conditions_the_scope_may_change(
    open_stage: OpenStage, environment: VirtualEnvironment, scopes: tuple[str, str]
) -> None:
    stage = await open_stage(Copied(environment))
    await put_with_scopes(stage, scopes, conditional_writes=False)
    assert (await stage.client(Namespaces).get(name="people")).config["consistency_scope"] == scopes[1]
