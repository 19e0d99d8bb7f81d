from __future__ import annotations

import pytest

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, TableSpec
from soundstage.engines.records.rocksdb import header as headers
from soundstage.engines.records.rocksdb.foresight import due_entry
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.rowkeys import (
    HEAD,
    HEADER,
    ITEMS,
    LEDGER,
    NUMBER,
    RANGE,
    TIME,
    parse_due,
    prefix_of,
)

SPEC = TableSpec(name="kv/n", max_lag_us=1_000_000, delete_ttl_min_us=5_000_000, delete_ttl_max_us=9_000_000)
KEPT_US = SPEC.max_lag_us + IN_FLIGHT_MAX_US + 1
PREFIX = prefix_of(NUMBER.pack(1), b"record")


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment()


def due_us(environment: VirtualEnvironment, rest: bytes, stored: bytes) -> int | None:
    """When the row comes before the sweeper; the entry must be of that row and of its time."""
    found = due_entry(PREFIX + rest, stored, SPEC, environment)
    if found is None:
        return None
    due, row_key = parse_due(found[0])
    assert row_key == PREFIX + rest
    assert found[1] == TIME.pack(environment.now_us())
    return due


@pytest.mark.parametrize("rest", [ITEMS + b"key", HEAD + HEADER])
def test_what_lasts_is_not_planned(environment: VirtualEnvironment, rest: bytes) -> None:
    put = version.put(environment.now_us(), "token", b"value")
    stored = put if rest.startswith(ITEMS) else headers.encode(Header(version.identity(put)))
    assert due_us(environment, rest, stored) is None


def test_a_put_that_expires_is_due_when_it_has(environment: VirtualEnvironment) -> None:
    now_us = environment.now_us()
    late = version.put(now_us, "token", b"", now_us + 10 * KEPT_US)
    soon = version.put(now_us, "token", b"", now_us + 1)
    assert due_us(environment, ITEMS + b"key", late) == now_us + 10 * KEPT_US
    assert due_us(environment, ITEMS + b"key", soon) == now_us + KEPT_US


def test_a_marker_is_due_at_some_time_between_its_bounds(environment: VirtualEnvironment) -> None:
    now_us = environment.now_us()
    spec_us = {
        parse_due(found[0])[0] - now_us
        for _ in range(50)
        if (
            found := due_entry(PREFIX + ITEMS + b"k", version.delete(now_us - 10 * KEPT_US, "token"), SPEC, environment)
        )
    }
    assert len(spec_us) > 30
    assert SPEC.delete_ttl_min_us <= min(spec_us) <= max(spec_us) <= SPEC.delete_ttl_max_us


@pytest.mark.parametrize("what", ["partition", "range", "ledger"])
def test_head_rows_are_due_once_no_older_write_can_arrive(environment: VirtualEnvironment, what: str) -> None:
    now_us = environment.now_us()
    cell = version.delete(now_us, "token")
    rest, stored = {
        "partition": (HEADER, headers.encode(Header(version.identity(cell), cell))),
        "range": (RANGE + b"a", headers.encode_range(b"b", cell)),
        "ledger": (LEDGER + b"token", TIME.pack(now_us) + b"digest"),
    }[what]
    assert due_us(environment, HEAD + rest, stored) == now_us + KEPT_US


def test_a_head_row_of_no_known_kind_is_not_planned(environment: VirtualEnvironment) -> None:
    assert due_us(environment, HEAD + b"?", b"") is None
