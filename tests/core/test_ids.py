"""Identifiers."""

from __future__ import annotations

import re
import uuid

import pytest

from soundstage.core import ids
from soundstage.core.environment import VirtualEnvironment

MANY = 2_000


def test_a_random_id_is_a_uuid_of_version_4(environment: VirtualEnvironment) -> None:
    found = [uuid.UUID(ids.uuid4_hex(environment)) for _ in range(100)]
    assert {(each.version, each.variant) for each in found} == {(4, uuid.RFC_4122)}


def test_random_ids_are_32_digits(environment: VirtualEnvironment) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", ids.uuid4_hex(environment))


def test_random_ids_differ(environment: VirtualEnvironment) -> None:
    assert len({ids.uuid4_hex(environment) for _ in range(MANY)}) == MANY


def test_request_ids_differ(environment: VirtualEnvironment) -> None:
    assert len({ids.request_id(environment) for _ in range(MANY)}) == MANY


def test_a_sortable_id_is_a_uuid_of_version_7(environment: VirtualEnvironment) -> None:
    found = uuid.UUID(ids.uuid7(environment))
    assert (found.version, found.variant) == (7, uuid.RFC_4122)


def test_a_sortable_id_tells_its_millisecond() -> None:
    environment = VirtualEnvironment(start_ns=1_700_000_000_123_999_999)
    made = ids.uuid7(environment)
    assert uuid.UUID(made).int >> 80 == ids.uuid7_ms(made) == 1_700_000_000_123
    assert re.fullmatch(ids.UUID_PATTERN, made)


def test_what_is_no_id_tells_no_time() -> None:
    with pytest.raises(ValueError, match="base 16"):
        ids.uuid7_ms("no such id")


def test_sortable_ids_sort_by_time(environment: VirtualEnvironment) -> None:
    made: list[str] = []
    for _ in range(MANY):
        made.append(ids.uuid7(environment))
        environment.advance(3e-7)
    assert made == sorted(made)


def test_sortable_ids_of_one_moment_differ(environment: VirtualEnvironment) -> None:
    assert len({ids.uuid7(environment) for _ in range(MANY)}) == MANY


def test_a_seed_repeats_its_ids() -> None:
    assert ids.uuid7(VirtualEnvironment(1)) == ids.uuid7(VirtualEnvironment(1))
