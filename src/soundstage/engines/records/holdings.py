"""What is kept of partitions, taken out of one table and put into another: `Capability.TRANSFER`.

A holding is all that decides what a partition answers and what a later write to it comes to: its rows, the
expired and the deleted ones included, its tombstones, the greatest version it ever accepted and its ledger.
Since the state of a partition is a function of the set of its versions, holdings may be put in again and in any
order. The holdings of a large partition come in several pages, each with what is then known of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from soundstage.core import version
from soundstage.core.errors import InvalidArgument
from soundstage.core.time import INT64_MAX
from soundstage.engines.records.batches import Survey, check_partition, versions
from soundstage.engines.records.port import KEY_MAX_BYTES, Batch, Budget, Cell, RangeDelete, Row

ROWS_AT_ONCE = 256
"""Rows put in before others get their turn."""


DIGEST_MAX_BYTES = 64

_AT_MAX_US = INT64_MAX // 1_000
"""The last microsecond that is an `Instant`: whatever is later cannot be answered with."""


class LedgerEntry(NamedTuple):
    """A conditional write that passed: its repetition is answered with `stamp_us`."""

    token: str
    stamp_us: int
    digest: bytes


class Holding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A partition, or a part of it. `newest` is the identity of the greatest version it ever accepted.

    `cells` are the greatest of each key, but for those that a tombstone hides.
    """

    partition: bytes
    newest: bytes
    tombstone: Cell | None = None
    ranges: Sequence[RangeDelete] = ()
    cells: Sequence[Row] = ()
    ledger: Sequence[LedgerEntry] = ()

    @property
    def covers(self) -> tuple[Cell | None, Sequence[RangeDelete]]:
        """What hides rows of the partition."""
        return self.tombstone, self.ranges


class HoldingsPage(msgspec.Struct, frozen=True, gc=False):
    """Holdings in the table's order; the last may go on in the next page. `position` None: the end."""

    holdings: list[Holding]
    position: bytes | None


@runtime_checkable
class Transfers(Protocol):
    """`Capability.TRANSFER`."""

    async def dump(self, table: str, position: bytes | None, budget: Budget) -> HoldingsPage:
        """A page of everything that the table keeps, from `position` (None: the beginning) on.

        What one page holds of a partition is of one moment. Partitions that nothing changed meanwhile come out
        once, in the engine's stable order. Raises `InvalidArgument` for a position that no dump returned.
        """
        ...

    async def load(self, table: str, holdings: Sequence[Holding], fence: int | None = None) -> None:
        """The table keeps what it kept and `holdings` besides, durably. Safe to repeat.

        The ledger is left out where the table takes no conditions. Partial when it fails: repeat it. Raises
        `InvalidArgument` for holdings that no engine can have dumped, and `PreconditionFailed` unless `fence` is the
        one that was admitted last: looked at together with each write, so that none of another comes behind.
        """
        ...

    async def admit(self, table: str, fence: int, least: int | None = None) -> None:
        """The table takes loads under `fence` and no other from now on, across restarts, until it is dropped.

        The fence before was from `least` up to `fence`, or with `least` None there was none: else
        `PreconditionFailed`, and all is as it was. Idempotent.
        """
        ...


def admits(known: int | None, fence: int, least: int | None) -> bool:
    """Whether `fence` may take the place of the fence `known`; see `Transfers.admit`."""
    if known is None:
        return least is None
    return known == fence or (least is not None and least <= known <= fence)


def pieces(holdings: Sequence[Holding]) -> Iterator[list[Holding]]:
    """The same in pieces of up to `ROWS_AT_ONCE` rows, each partition at most once in a piece."""
    piece: list[Holding] = []
    seen: set[bytes] = set()
    rows = 0
    for holding in holdings:
        for part in _parts(holding):
            count = 1 + len(part.cells) + len(part.ledger) + len(part.ranges)
            if piece and (rows + count > ROWS_AT_ONCE or part.partition in seen):
                yield piece
                piece, seen, rows = [], set[bytes](), 0
            piece.append(part)
            seen.add(part.partition)
            rows += count
    if piece:
        yield piece


def batch_of(holding: Holding) -> tuple[Batch, Survey] | None:
    """What a holding changes as a batch; None when it changes no row and no tombstone."""
    batch = Batch(cells=holding.cells, ranges=holding.ranges, partition=holding.tombstone)
    found = versions(batch)
    if not found:
        return None
    keys, cells = [key for key, _ in holding.cells], [cell for _, cell in holding.cells]
    return batch, Survey(keys, cells, min(found), max(found), sum(map(len, keys)) + sum(map(len, found)))


def check_holding(holding: Holding) -> None:
    """Raises `InvalidArgument` for what no engine can have dumped: holdings come from files too."""
    check_partition(holding.partition)
    deletes = [each.cell for each in holding.ranges] + ([] if holding.tombstone is None else [holding.tombstone])
    bounds = [bound for each in holding.ranges for bound in (each.start, each.end or b"")]
    try:
        fits = (
            all(len(key) <= KEY_MAX_BYTES for key, _ in holding.cells)
            and all(len(bound) <= KEY_MAX_BYTES + 1 for bound in bounds)
            and all(_is_whole(cell) for _, cell in holding.cells)
            and all(_is_whole(cell) and version.is_delete(cell) for cell in deletes)
            and _is_identity(holding.newest)
            and all(_is_token(entry.token) and len(entry.digest) <= DIGEST_MAX_BYTES for entry in holding.ledger)
            and all(0 <= entry.stamp_us <= _AT_MAX_US for entry in holding.ledger)
        )
    except ValueError:
        fits = False
    if not fits:
        raise InvalidArgument(
            f"the record {holding.partition[:40]!r} holds what is no version",
            field="holdings",
            hint="load what was dumped, as it was",
        )


def _is_whole(cell: Cell) -> bool:
    found = version.split(cell)
    return found.time_us <= _AT_MAX_US and _is_token(found.token) and found.expires_us <= _AT_MAX_US


def _is_identity(newest: bytes) -> bool:
    found = version.split(newest + bytes(12))
    return newest.endswith(b"\0") and version.identity(newest) == newest and found.time_us <= _AT_MAX_US


def _is_token(token: str) -> bool:
    return 0 < len(token.encode()) <= version.TOKEN_MAX_BYTES


def _parts(holding: Holding) -> Iterator[Holding]:
    count = max(len(holding.cells), len(holding.ledger))
    if count <= ROWS_AT_ONCE:
        yield holding
        return
    # Tombstones go first, so that no row is put in which they hide.
    yield msgspec.structs.replace(holding, cells=(), ledger=())
    for at in range(0, count, ROWS_AT_ONCE):
        yield Holding(
            partition=holding.partition,
            newest=holding.newest,
            cells=holding.cells[at : at + ROWS_AT_ONCE],
            ledger=holding.ledger[at : at + ROWS_AT_ONCE],
        )
