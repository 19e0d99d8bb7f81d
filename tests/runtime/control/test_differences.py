"""What a declaration would change of a namespace."""

from __future__ import annotations

from typing import Any

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.message import Duration
from soundstage.core.namespace import LatencyObjective, NamespaceInfo, NamespaceSpec, Objective, Quotas
from soundstage.core.time import Instant
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.control.declaration import Declared
from soundstage.runtime.control.differences import differences

KNOBS = {"page_size_bytes": 4_096, "hot": {"items": 3, "keys": None}}
NOW = Instant(1_000)


@pytest.fixture
def info() -> NamespaceInfo:
    return NamespaceInfo(
        name="people",
        abstraction="kv",
        engines={"records": "default"},
        config=KNOBS,
        slos={},
        quotas=Quotas(),
        version=1,
        generation=1,
        managed_by="api",
        created_at=NOW,
        updated_at=NOW,
    )


def declared(**changes: Any) -> Declared:
    """The same namespace, but for `changes`."""
    return Declared(
        spec=NamespaceSpec(name="people", abstraction="kv"),
        engines={"records": "default"},
        knobs=KNOBS,
        slos={},
        quotas=Quotas(),
        config=None,
        records=MemoryRecords(VirtualEnvironment(seed=1)),
        tables=(),
    )._replace(**changes)


def test_the_same_differs_in_nothing(info: NamespaceInfo) -> None:
    assert differences(info, declared()) == []


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"engines": {"records": "fast"}}, ["engines.records"]),
        ({"knobs": {**KNOBS, "page_size_bytes": 1}}, ["config.page_size_bytes"]),
        ({"knobs": {**KNOBS, "hot": {"items": 4}}}, ["config.hot.items"]),
        ({"knobs": {"hot": {"items": 3}}}, ["config.page_size_bytes"]),
        ({"knobs": {**KNOBS, "more": True}}, ["config.more"]),
        ({"slos": {"read": Objective(latency=LatencyObjective(max=Duration(5)))}}, ["slos.read.latency.max"]),
        ({"spec": NamespaceSpec(name="people", abstraction="counter")}, ["abstraction"]),
    ],
)
def test_what_differs_is_named_by_its_path(info: NamespaceInfo, changes: dict[str, Any], paths: list[str]) -> None:
    assert differences(info, declared(**changes)) == paths


def test_what_is_none_or_empty_is_as_if_left_out(info: NamespaceInfo) -> None:
    assert differences(info, declared(knobs={**KNOBS, "hot": {"items": 3, "keys": {}}, "more": None})) == []
