"""The knobs of a namespace: their defaults, their bounds, and which go together."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.data.kv.conftest import make

from soundstage.core.attunement import Hedging
from soundstage.core.errors import InvalidArgument
from soundstage.core.time import Duration
from soundstage.data.kv.config import FIXED, CacheKnobs, CompressionKnobs, NamespaceConfig, check_together
from soundstage.engines.records.port import BATCH_MAX_BYTES
from soundstage.runtime.control.declaration import FIXED as FIXED_OF_TABLES
from soundstage.runtime.stage import Stage

S = 1_000_000_000


def test_the_defaults_are_those_of_the_semantics() -> None:
    config = NamespaceConfig()
    assert (config.drift_past, config.drift_future) == (Duration(600 * S), Duration(2 * S))
    assert (config.page_size_bytes, config.count_limit, config.chunk_threshold) == (2 << 20, 100_000, 1 << 20)


def test_the_defaults_go_together() -> None:
    check_together(NamespaceConfig())


@pytest.mark.parametrize("struct", [NamespaceConfig, CacheKnobs, CompressionKnobs, Hedging])
def test_every_knob_is_explained(struct: type[msgspec.Struct]) -> None:
    groups = {"cache", "compression", "hedging"}
    fields = {field.name: field.type for field in msgspec.structs.fields(struct) if field.name not in groups}
    described = {name for name, kind in fields.items() for meta in kind.__metadata__ if meta.description}
    assert described == set(fields)


def test_the_largest_value_with_the_longest_id_and_key_fits_a_call() -> None:
    assert BATCH_MAX_BYTES > (3 << 20) + 1_024 + 4_096


@pytest.mark.parametrize(
    ("knobs", "field"),
    [
        ({"delete_ttl_min": Duration(2 * S), "delete_ttl_max": Duration(S)}, "delete_ttl_min"),
        ({"page_size_bytes": 2_048, "page_size_max": 1_024}, "page_size_bytes"),
        ({"rows_min": 10, "rows_max": 9}, "rows_min"),
    ],
)
def test_a_least_above_its_greatest_is_refused(knobs: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument, match="more than") as refused:
        check_together(NamespaceConfig(**knobs))
    assert (refused.value.field, bool(refused.value.hint)) == (field, True)


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("drift_past", "999ms"),
        ("drift_past", "8d"),
        ("drift_future", "2h"),
        ("page_size_bytes", "1023B"),
        ("page_size_max", "65MiB"),
        ("rows_max", 0),
        ("rows_max", 10_001),
        ("batch_ids_max", 5_001),
        ("count_limit", 0),
        ("chunk_threshold", "4MiB"),
        ("drift_pst", "1m"),
    ],
)
async def test_a_knob_out_of_bounds_is_refused_by_its_path(plain_stage: Stage, knob: str, value: Any) -> None:
    knobs: dict[str, Any] = {knob: value}
    with pytest.raises(InvalidArgument) as refused:
        await make(plain_stage, "people", **knobs)
    assert refused.value.field == f"namespace.config.{knob}"
    assert refused.value.hint


@pytest.mark.parametrize(("knob", "value"), [("key_order", "desc"), ("conditional_writes", False), ("dedicated", True)])
async def test_what_is_fixed_at_creation_cannot_be_changed(plain_stage: Stage, knob: str, value: Any) -> None:
    await make(plain_stage, "people")
    knobs: dict[str, Any] = {knob: value}
    with pytest.raises(InvalidArgument, match="since the namespace was created") as refused:
        await make(plain_stage, "people", **knobs)
    assert "create another namespace and copy" in (refused.value.hint or "")


async def test_a_choice_that_is_none_is_refused_with_the_choices(plain_stage: Stage) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await make(plain_stage, "people", key_order="up")
    assert refused.value.hint == "one of asc, desc"


def test_what_is_fixed_is_what_the_control_plane_holds_fixed() -> None:
    assert set(FIXED_OF_TABLES.values()) == FIXED


def test_conditions_are_refused_where_what_was_written_last_is_not_known() -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_together(NamespaceConfig(conditional_writes=True, consistency="eventual"))
    assert refused.value.field == "consistency"


@pytest.mark.parametrize("conditional", [None, False])
def test_a_namespace_without_conditions_may_be_eventual(conditional: bool | None) -> None:
    check_together(NamespaceConfig(conditional_writes=conditional, consistency="eventual"))


def test_a_cache_needs_a_namespace_that_may_show_what_was_replaced() -> None:
    cache = CacheKnobs(engine="hot")
    with pytest.raises(InvalidArgument, match="cache") as refused:
        check_together(NamespaceConfig(cache=cache))
    assert refused.value.field == "consistency"
    with pytest.raises(InvalidArgument, match="linearizable"):
        check_together(NamespaceConfig(cache=cache, consistency="linearizable"))
    check_together(NamespaceConfig(cache=cache, consistency="read_your_writes"))
    check_together(NamespaceConfig(cache=cache, consistency="eventual"))
