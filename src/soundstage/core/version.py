"""The rule that decides between two writes, and nothing else.

A version is `(time_us, kind, token, payload)`, stored as one *cell*:

    time_us (8 bytes, big-endian) | kind (1 byte) | token | 00 | payload
    payload = expires_us (8 bytes, big-endian, 0 = never) | metadata length (4 bytes) | metadata | value

Tokens hold no NUL, so the byte order of two cells *is* the order of their versions, on every engine:
`max(a, b)` of two cells is the winner. The state of an item is the greatest of its own cells and of the
tombstones that cover it: a pure function of the set of cells, whatever order, repetition or batching they
arrived in. Engines compare cells as bytes and ask this module everything else.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

PUT = 0
DELETE = 1

KIND_AT = 8
"""Where the time of a cell ends and its kind begins."""

_NO_KIND = b"\xff"

TIME_MAX_US = 2**63 - 1
TOKEN_MAX_BYTES = 64

_HEAD = Struct(">QB")
_TIME = Struct(">Q")
_PAYLOAD = Struct(">QI")
_TOKEN_AT = _HEAD.size
_time_at = _TIME.unpack_from


class Version(NamedTuple):
    """A cell taken apart. `expires_us` is 0 for a version that never expires."""

    time_us: int
    kind: int
    token: str
    expires_us: int
    metadata: bytes
    value: bytes


def put(time_us: int, token: str, value: bytes, expires_us: int = 0, metadata: bytes = b"") -> bytes:
    """The cell of a put. `token` is 1 to 64 bytes of UTF-8 without NUL; the caller has checked it."""
    return put_head(time_us, token, expires_us, metadata) + value


def put_head(time_us: int, token: str, expires_us: int = 0, metadata: bytes = b"") -> bytes:
    """What comes before the value in the cell of a put, so that puts alike but for their values share it."""
    head = _HEAD.pack(time_us, PUT)
    return b"".join((head, token.encode(), b"\0", _PAYLOAD.pack(expires_us, len(metadata)), metadata))


def delete(time_us: int, token: str) -> bytes:
    """The cell of a delete: an item marker, or a range or partition tombstone."""
    return _HEAD.pack(time_us, DELETE) + token.encode() + b"\0" + _PAYLOAD.pack(0, 0)


def split(cell: bytes) -> Version:
    """The version that `cell` encodes. Raises `ValueError` for bytes that are no cell."""
    end = cell.find(b"\0", _TOKEN_AT)
    payload_at = end + 1
    if end < 0 or len(cell) < payload_at + _PAYLOAD.size:
        raise ValueError(f"{len(cell)} bytes are too few for a cell")
    time_us, kind = _HEAD.unpack_from(cell)
    if kind not in (PUT, DELETE):
        raise ValueError(f"a cell's kind is put or delete, not {kind}")
    expires_us, metadata_length = _PAYLOAD.unpack_from(cell, payload_at)
    value_at = payload_at + _PAYLOAD.size + metadata_length
    if value_at > len(cell):
        raise ValueError("a cell's metadata runs past its end")
    return Version(
        time_us,
        kind,
        cell[_TOKEN_AT:end].decode(),
        expires_us,
        cell[value_at - metadata_length : value_at],
        cell[value_at:],
    )


def parts(cell: bytes) -> tuple[int, str, int, bytes, int]:
    """`(time_us, token, expires_us, metadata, value_at)` of a whole cell, whose value is `cell[value_at:]`.

    Unchecked, and without a copy of the value: what runs once per row of every read.
    """
    end = cell.index(b"\0", _TOKEN_AT)
    expires_us, metadata_length = _PAYLOAD.unpack_from(cell, end + 1)
    value_at = end + 1 + _PAYLOAD.size + metadata_length
    metadata = cell[value_at - metadata_length : value_at] if metadata_length else b""
    return _TIME.unpack_from(cell)[0], cell[_TOKEN_AT:end].decode(), expires_us, metadata, value_at


def time_us(cell: bytes) -> int:
    """Microseconds since 1970 UTC at which the cell's token was generated."""
    return _TIME.unpack_from(cell)[0]


def token(cell: bytes) -> str:
    return cell[_TOKEN_AT : cell.index(b"\0", _TOKEN_AT)].decode()


def identity(cell: bytes) -> bytes:
    """Time, kind and token of a cell, without its payload; ordered as versions are."""
    return cell[: cell.index(b"\0", _TOKEN_AT) + 1]


def expires_us(cell: bytes) -> int:
    return _PAYLOAD.unpack_from(cell, cell.index(b"\0", _TOKEN_AT) + 1)[0]


def lasting_head(cell: bytes) -> bytes | None:
    """What a put that never expires has before its metadata; None for any other cell.

    Cells that begin with it never expire either, which is quicker to see of many cells than each one's expiry.
    """
    end = cell.index(b"\0", _TOKEN_AT) + 1 + _TIME.size
    return cell[:end] if cell[_TIME.size] == PUT and not _TIME.unpack_from(cell, end - _TIME.size)[0] else None


def lasting_tail(cell: bytes) -> bytes:
    """What a put that never expires has from `KIND_AT` on, before its metadata; for another cell what no cell has.

    Cells of any time that have it there never expire either.
    """
    head = lasting_head(cell)
    return _NO_KIND if head is None else head[KIND_AT:]


def is_lasting(cell: bytes, end: int) -> bool:
    """Whether a cell whose identity has `end` bytes is a put that never expires."""
    return cell[8] == PUT and not _time_at(cell, end)[0]


def restamp(cell: bytes, time_us: int) -> bytes:
    """The same write at another time, as a conditional write that passed is stamped."""
    return _TIME.pack(time_us) + cell[_TIME.size :]


def is_delete(cell: bytes) -> bool:
    return cell[_TIME.size] == DELETE


def is_live(cell: bytes, now_us: int, tombstone: bytes | None = None) -> bool:
    """Whether an item whose greatest cell is `cell` exists at `now_us` under `tombstone`.

    `tombstone` is the greatest tombstone that covers the item. Absent from the microsecond of expiry on.
    """
    if cell[8] == DELETE or (tombstone is not None and tombstone > cell):
        return False
    (expires_us,) = _time_at(cell, cell.index(0, _TOKEN_AT) + 1)
    return not expires_us or now_us < expires_us


def purge_horizon_us(now_us: int, max_lag_us: int, in_flight_max_us: int, purge_floor_us: int | None) -> int:
    """Cells older than this can be forgotten: no write that they must still hide can arrive.

    `purge_floor_us` is held at 0 while a copy, an import or a restore runs, else None.
    """
    horizon = now_us - max_lag_us - in_flight_max_us
    return horizon if purge_floor_us is None else min(horizon, purge_floor_us)


def is_purgeable(cell: bytes, now_us: int, horizon_us: int) -> bool:
    """Whether a tombstone, a marker or an expired put may be removed for good; live puts never."""
    if _TIME.unpack_from(cell)[0] >= horizon_us:
        return False
    return not is_live(cell, now_us)
