"""The tables in Cassandra: how long they keep tombstones, and that racing engines make the same ones."""

from __future__ import annotations

import re

import pytest

from soundstage.engines.records.cassandra import schema

DAY_US = 86_400_000_000


@pytest.mark.parametrize(
    ("max_lag_us", "grace_s"),
    [(0, 864_000), (600_000_000, 864_000), (10 * DAY_US, 864_000 + 60 + 3_600), (30 * DAY_US, 30 * 86_400 + 3_660)],
)
def test_tombstones_are_kept_for_as_long_as_an_older_write_can_arrive(max_lag_us: int, grace_s: int) -> None:
    assert schema.grace_s(max_lag_us) == grace_s
    assert f"gc_grace_seconds = {grace_s}" in schema.make_rows("films", "rows_1", max_lag_us)


@pytest.mark.parametrize(
    ("conditional", "dedicated", "name"),
    [(False, False, "rows"), (True, False, "paxos"), (False, True, "rows_7"), (True, True, "paxos_7")],
)
def test_lightweight_and_other_writes_never_share_a_table(conditional: bool, dedicated: bool, name: str) -> None:
    assert schema.name_of(7, conditional=conditional, dedicated=dedicated) == name


def test_who_makes_a_table_makes_the_same_one() -> None:
    first, second = (schema.shared_tables("films") for _ in range(2))
    assert first == second
    identities = [match[0] for each in first if (match := re.search(r"ID = [0-9a-f-]{36}", each))]
    assert len(set(identities)) == len(first)


def test_keyspaces_have_tables_of_their_own() -> None:
    assert set(schema.shared_tables("films")).isdisjoint(schema.shared_tables("other"))


def test_reads_mend_replicas_before_they_answer() -> None:
    assert "read_repair = 'BLOCKING'" in schema.make_rows("films", "rows")
