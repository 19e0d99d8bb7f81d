from __future__ import annotations

from typing import Any

import msgspec
import pytest

from soundstage.core import version
from soundstage.core.errors import InvalidArgument
from soundstage.engines.records.holdings import (
    ROWS_AT_ONCE,
    Holding,
    LedgerEntry,
    batch_of,
    check_holding,
    pieces,
)
from soundstage.engines.records.port import RangeDelete

INSTANTS_END_US = (2**63 - 1) // 1_000 + 1
AT = 1_700_000_000_000_000
PUT = version.put(AT, "t", b"value", AT + 5)
DELETE = version.delete(AT, "t")
WHOLE = Holding(
    partition=b"p",
    newest=version.identity(PUT),
    tombstone=DELETE,
    ranges=[RangeDelete(b"a", None, DELETE)],
    cells=[(b"k", PUT), (b"l", DELETE)],
    ledger=[LedgerEntry("t", AT, b"digest")],
)


def rows(count: int, partition: bytes = b"p", ledger: int = 0) -> Holding:
    return msgspec.structs.replace(
        WHOLE,
        partition=partition,
        cells=[(b"%06d" % key, PUT) for key in range(count)],
        ledger=[LedgerEntry(str(number), AT, b"") for number in range(ledger)],
    )


def test_small_records_go_together() -> None:
    found = [rows(2, b"%d" % number) for number in range(10)]
    assert list(pieces(found)) == [found]


def test_a_piece_has_a_bounded_number_of_rows() -> None:
    found = list(pieces([rows(50, b"%d" % number) for number in range(20)]))
    assert all(sum(len(each.cells) for each in piece) <= ROWS_AT_ONCE for piece in found)
    assert sum(len(piece) for piece in found) == 20


def test_a_large_record_is_cut_and_its_tombstones_go_first() -> None:
    large = rows(3 * ROWS_AT_ONCE + 1, ledger=ROWS_AT_ONCE + 1)
    found = [each for piece in pieces([large]) for each in piece]
    assert (found[0].cells, found[0].ranges, found[0].tombstone) == ((), large.ranges, large.tombstone)
    assert [row for each in found for row in each.cells] == large.cells
    assert [entry for each in found for entry in each.ledger] == large.ledger
    assert all(each.newest == large.newest for each in found)


def test_a_record_is_in_a_piece_once() -> None:
    for piece in pieces([rows(700), rows(3), rows(3)]):
        names = [each.partition for each in piece]
        assert len(set(names)) == len(names)


def test_nothing_has_no_pieces() -> None:
    assert list(pieces([])) == []


def test_a_holding_is_a_batch_of_everything_it_tells() -> None:
    found = batch_of(WHOLE)
    assert found is not None
    batch, survey = found
    assert (batch.partition, list(batch.ranges), list(batch.cells)) == (DELETE, WHOLE.ranges, WHOLE.cells)
    assert (survey.keys, survey.least, survey.greatest) == ([b"k", b"l"], PUT, DELETE)


def test_a_record_of_which_only_its_version_is_left_is_no_batch() -> None:
    assert batch_of(Holding(partition=b"p", newest=version.identity(PUT))) is None


def test_what_an_engine_can_have_dumped_is_taken() -> None:
    check_holding(WHOLE)
    check_holding(Holding(partition=b"p", newest=version.identity(PUT)))


@pytest.mark.parametrize(
    "part",
    [
        {"partition": b""},
        {"partition": bytes(1_025)},
        {"newest": b""},
        {"newest": b"short"},
        {"newest": PUT},
        {"newest": version.identity(PUT)[:-1]},
        {"tombstone": PUT},
        {"tombstone": b""},
        {"ranges": [RangeDelete(b"a", b"b", PUT)]},
        {"ranges": [RangeDelete(b"a", bytes(5_000), DELETE)]},
        {"cells": [(b"k", b"")]},
        {"cells": [(b"k", PUT[:20])]},
        {"cells": [(bytes(4_097), PUT)]},
        {"cells": [(b"k", version.put(AT, "", b""))]},
        {"cells": [(b"k", version.put(AT, "x" * 65, b""))]},
        {"cells": [(b"k", version.put(2**63, "t", b""))]},
        {"cells": [(b"k", version.put(INSTANTS_END_US, "t", b""))]},
        {"cells": [(b"k", version.put(AT, "t", b"", 2**63))]},
        {"cells": [(b"k", version.put(AT, "t", b"", INSTANTS_END_US))]},
        {"cells": [(b"k", b"z")]},
        {"cells": [(b"k", b"\0" * 8 + b"\2t\0" + bytes(12))]},
        {"ledger": [LedgerEntry("", AT, b"")]},
        {"ledger": [LedgerEntry("t", -1, b"")]},
        {"ledger": [LedgerEntry("t", AT, bytes(65))]},
        {"ledger": [LedgerEntry("t", INSTANTS_END_US, b"")]},
    ],
)
def test_what_no_engine_can_have_dumped_is_refused(part: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        check_holding(msgspec.structs.replace(WHOLE, **part))
