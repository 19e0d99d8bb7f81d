"""Conditional writes: whether the conditions hold now, and the ledger that makes repetitions known."""

from __future__ import annotations

from soundstage.core import version
from soundstage.engines.records import refusals
from soundstage.engines.records.batches import Survey
from soundstage.engines.records.port import Cell, Condition, Conditional, Stamp
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.reading import Passed, live_row_exists
from soundstage.engines.records.rocksdb.rowkeys import HEAD, ITEMS, LEDGER, TIME
from soundstage.engines.records.rocksdb.tables import Table

EVIDENT_MAX = 8
"""Of more conditions than these something takes a look at each, which holds up nobody else."""


def recorded(table: Table, prefix: bytes, asked: Conditional) -> int | None:
    """The stamp that this very call was answered with before; `TokenReused` if it was another one."""
    stored: bytes | None = table.db.get(prefix + HEAD + LEDGER + asked.token.encode())
    if stored is None:
        return None
    if stored[TIME.size :] != asked.digest:
        raise refusals.token_reused(asked.token)
    return TIME.unpack_from(stored)[0]


def check_unrecorded(table: Table, prefix: bytes, known: Header | None, survey: Survey) -> None:
    """Raise `TokenReused` where a write without conditions has the token of one that had some.

    That one raised the record past its own time, so that a write newer than the record need not be looked up.
    """
    time_us = version.time_us(survey.greatest)
    if known is None or not table.spec.conditional or time_us > version.time_us(known.newest):
        return
    token = version.token(survey.greatest)
    stored: bytes | None = table.db.get(prefix + HEAD + LEDGER + token.encode())
    if stored is not None and time_us <= TIME.unpack_from(stored)[0]:
        raise refusals.token_reused(token)


def asks_for_absence(conditional: Conditional) -> bool:
    """Whether it must be known that a record has no live row, which may take long to see."""
    return any(each.key is None and each.stamp is None for each in conditional.conditions)


def check(
    table: Table,
    prefix: bytes,
    known: Header | None,
    condition: Condition,
    now_us: int,
    passed: Passed | None = None,
) -> None:
    """Raise `PreconditionFailed` unless the condition holds; `passed` is what has been seen of dead rows."""
    actual = _stamp(table, prefix, known, condition, now_us, passed)
    if actual != condition.stamp:
        raise refusals.condition_failed(condition, actual)


def hold_evidently(table: Table, prefix: bytes, known: Header | None, asked: Conditional, now_us: int) -> bool:
    """Whether all conditions hold and the call is no repetition, as far as few look-ups tell; false may be either."""
    if known is None:
        # Of a partition that was never written nothing is recorded.
        return all(condition.stamp is None for condition in asked.conditions)
    if len(asked.conditions) > EVIDENT_MAX or table.db.get(prefix + HEAD + LEDGER + asked.token.encode()) is not None:
        return False
    for condition in asked.conditions:
        if condition.key is None and condition.stamp is None and known.low < known.high:
            return False
        if _stamp(table, prefix, known, condition, now_us, None) != condition.stamp:
            return False
    return True


def stamp_for(known: Header | None, survey: Survey, asked: Conditional) -> int:
    """The time that a conditional write is given: past everything the record has accepted."""
    own_us = version.time_us(survey.greatest)
    stamp_us = own_us if known is None else max(own_us, version.time_us(known.newest) + 1)
    if stamp_us > asked.limit_us:
        raise refusals.written_ahead(stamp_us)
    return stamp_us


def _stamp(
    table: Table,
    prefix: bytes,
    known: Header | None,
    condition: Condition,
    now_us: int,
    passed: Passed | None,
) -> Stamp | None:
    if known is None:
        return None
    if condition.key is None:
        if condition.stamp is None and not live_row_exists(table, prefix, known, now_us, passed):
            return None
        return known.stamp
    cell: Cell | None = table.db.get(prefix + ITEMS + condition.key)
    if cell is None or not version.is_live(cell, now_us, known.covering(condition.key)):
        return None
    return Stamp(version.time_us(cell), version.token(cell))
