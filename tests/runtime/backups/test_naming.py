from __future__ import annotations

import pytest

from soundstage.core.limits import check_namespace
from soundstage.core.time import Instant
from soundstage.runtime.backups.naming import moment


@pytest.mark.parametrize(
    ("at", "name"),
    [
        ("2026-11-26T16:40:12.345678901Z", "2026-11-26T16-40-12.345Z"),
        ("2026-11-26T16:40:12.3Z", "2026-11-26T16-40-12.300Z"),
        ("2026-11-26T16:40:12Z", "2026-11-26T16-40-12.000Z"),
    ],
)
def test_a_moment_is_a_name_of_one_length(at: str, name: str) -> None:
    assert moment(Instant.parse(at)) == name


def test_a_moment_is_a_name_that_backups_may_have() -> None:
    check_namespace(moment(Instant(0)), "name")


def test_names_sort_by_their_moments() -> None:
    names = [moment(Instant(ns)) for ns in (0, 10**6, 999 * 10**6, 10**9, 86_400 * 10**9)]
    assert names == sorted(set(names))
