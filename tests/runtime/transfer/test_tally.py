from __future__ import annotations

import pytest

from soundstage.core import version
from soundstage.runtime.transfer.tally import LASTS_US, Tally, lasts

AT = 1_700_000_000_000_000
PUT = version.put(AT, "t", b"value")


def tally(*rows: tuple[bytes, bytes, bytes], table: int = 0) -> Tally:
    found = Tally()
    for partition, key, cell in rows:
        found.take(table, partition, [(key, cell)], AT)
    return found


def test_the_order_of_rows_does_not_matter() -> None:
    one, other = (b"p", b"a", PUT), (b"q", b"b", PUT)
    assert tally(one, other).agrees(tally(other, one))


@pytest.mark.parametrize(
    "other",
    [
        (b"q", b"key", PUT),
        (b"p", b"kez", PUT),
        (b"p", b"key", version.put(AT, "t", b"valuf")),
        (b"p", b"key", version.put(AT + 1, "t", b"value")),
        (b"p", b"key", version.put(AT, "u", b"value")),
        (b"pk", b"ey", PUT),
    ],
)
def test_every_part_of_a_row_counts(other: tuple[bytes, bytes, bytes]) -> None:
    assert not tally((b"p", b"key", PUT)).agrees(tally(other))


def test_the_table_of_a_row_counts() -> None:
    assert not tally((b"p", b"key", PUT)).agrees(tally((b"p", b"key", PUT), table=1))


def test_a_row_twice_is_not_a_row_once() -> None:
    row = (b"p", b"key", PUT)
    assert not tally(row).agrees(tally(row, row))


def test_sums_are_added_up() -> None:
    one, other = tally((b"p", b"a", PUT)), tally((b"p", b"b", PUT))
    one.add(other)
    assert one == tally((b"p", b"a", PUT), (b"p", b"b", PUT))


def test_what_may_be_gone_soon_is_counted_in_bytes_alone() -> None:
    found = tally((b"p", b"key", version.delete(AT, "t")))
    assert (found.items, found.agrees(Tally()), found.size > 0) == (0, True, True)


@pytest.mark.parametrize(
    ("cell", "does"),
    [
        (PUT, True),
        (version.delete(AT, "t"), False),
        (version.put(AT, "t", b"", AT + LASTS_US), False),
        (version.put(AT, "t", b"", AT + LASTS_US + 1), True),
        (version.put(AT, "t", b"", AT - 1), False),
    ],
)
def test_what_lasts(cell: bytes, does: bool) -> None:
    assert lasts(cell, AT) is does
