"""Rows are put in order, and the process does other things meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from soundstage.data.timeseries.compaction import sorting
from soundstage.data.timeseries.segments.columns import Sorted


@pytest.mark.parametrize("count", [0, 1, 10, 11, 95])
def test_rows_are_in_order_and_no_one_call_sorts_more_than_a_step(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random, steps = Random(count), list[int]()
    rows = [(b"%d" % random.randrange(5), random.randbytes(3), b"") for _ in range(count)]

    def spied(some: Iterable[Sorted]) -> list[Sorted]:
        found = list(some)
        steps.append(len(found))
        return sorted(found)

    monkeypatch.setattr(sorting, "STEP_ROWS", 10)
    monkeypatch.setattr(sorting, "sorted", spied, raising=False)
    assert sorting.in_order(rows) == sorted(rows)
    assert sum(steps) == count
    assert max(steps, default=0) <= 10
