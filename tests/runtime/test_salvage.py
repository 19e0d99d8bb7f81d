from __future__ import annotations

from typing import Any

import msgspec
import pytest

from soundstage.core.namespace import Quotas
from soundstage.core.time import Duration, Instant
from soundstage.runtime.salvage import raw_map, salvaged


class Entry(msgspec.Struct, kw_only=True):
    name: str
    at: Instant
    quotas: Quotas = Quotas()


INSTEAD: dict[str, Any] = {"name": "?", "at": Instant(0)}


def test_what_can_be_read_is_kept() -> None:
    raw = {"name": "a", "at": 7, "quotas": {"burst": "2s"}, "invented_later": 1}
    assert salvaged(Entry, raw, INSTEAD) == Entry(name="a", at=Instant(7), quotas=Quotas(burst=Duration.parse("2s")))


@pytest.mark.parametrize("quotas", [{"reads_per_second": 1e-300}, {"in_flight": -5}, {"burst": 5}, "none", [[]]])
def test_a_part_that_cannot_be_read_takes_no_other_with_it(quotas: Any) -> None:
    assert salvaged(Entry, {"name": "a", "at": 7, "quotas": quotas}, INSTEAD) == Entry(name="a", at=Instant(7))


@pytest.mark.parametrize("raw", [None, 5, [], {}, {"name": 5, "at": "x"}])
def test_what_is_nothing_at_all_is_what_stands_for_it(raw: Any) -> None:
    assert salvaged(Entry, raw, INSTEAD) == Entry(name="?", at=Instant(0))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x05", b"\x91\x01", b"\xa1\xff", b"\x91" * 5_000])
def test_bytes_that_are_no_map_hold_nothing(body: bytes) -> None:
    assert raw_map(body) == {}


def test_a_map_is_read() -> None:
    assert raw_map(msgspec.msgpack.encode({"a": 1})) == {"a": 1}
