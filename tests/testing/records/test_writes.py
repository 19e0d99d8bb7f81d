"""The model's writes as the port takes them, and rows as the model says them."""

from __future__ import annotations

import pytest

from soundstage.core import version
from soundstage.engines.records import port
from soundstage.testing.model import Condition, Put, Stamp, Version, Write
from soundstage.testing.records.writes import batch_of, conditional_of, shown

DELETED = version.delete(7, "token")


def test_a_put_is_a_cell_with_its_expiry_and_metadata() -> None:
    batch = batch_of(Write(token="token", time_us=7, puts={b"key": Put(b"value", 9, b"meta")}))
    assert batch == port.Batch(cells=[(b"key", version.put(7, "token", b"value", 9, b"meta"))], ranges=[])


def test_deletes_carry_the_version_of_the_write() -> None:
    write = Write(token="token", time_us=7, markers=[b"a"], ranges=[(b"b", None), (b"", b"a")], whole=True)
    assert batch_of(write) == port.Batch(
        cells=[(b"a", DELETED)],
        ranges=[port.RangeDelete(b"b", None, DELETED), port.RangeDelete(b"", b"a", DELETED)],
        partition=DELETED,
    )


def test_a_write_of_nothing_is_an_empty_batch() -> None:
    assert batch_of(Write(token="token", time_us=7)) == port.Batch(cells=[], ranges=[])


def test_conditions_keep_their_order_and_stamps() -> None:
    conditions = [Condition(b"key", None), Condition(None, Stamp(3, "t"))]
    assert conditional_of("token", conditions, b"digest", 5) == port.Conditional(
        conditions=[port.Condition(b"key", None), port.Condition(None, port.Stamp(3, "t"))],
        token="token",
        digest=b"digest",
        limit_us=5,
    )


def test_rows_are_shown_in_their_order() -> None:
    rows = [(b"b", version.put(1, "t", b"1")), (b"a", version.put(2, "u", b"2", 3, b"m"))]
    assert list(shown(rows).items()) == [
        (b"b", Version(1, 0, "t", 0, b"", b"1")),
        (b"a", Version(2, 0, "u", 3, b"m", b"2")),
    ]


def test_bytes_that_are_no_cell_are_not_shown() -> None:
    with pytest.raises(ValueError, match="too few"):
        shown([(b"key", b"")])
