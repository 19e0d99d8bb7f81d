"""Rows of the records port as items of a reply."""

from __future__ import annotations

from struct import Struct

import msgspec

from soundstage.core.message import IdempotencyToken
from soundstage.core.time import Instant
from soundstage.data.kv.api import Item, ItemMetadata, Selection
from soundstage.engines.records.port import Cell, Stamp

_TOKEN_AT = 9
_PAYLOAD = Struct(">QI")


class StoredMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a cell says of its value besides the version; a cell without metadata has none of it."""

    codec: str | None = None


_decode_metadata = msgspec.msgpack.Decoder(StoredMetadata).decode


def item_of(key: bytes, cell: Cell, include_values: bool = True, max_value_bytes: int | None = None) -> Item:
    """The item that a live row holds, its value left out where it is not wanted."""
    # The layout of a cell is taken apart in place: this runs once per item of every read.
    end = cell.index(b"\0", _TOKEN_AT)
    expires_us, metadata_bytes = _PAYLOAD.unpack_from(cell, end + 1)
    value_at = end + 13 + metadata_bytes
    size = len(cell) - value_at
    wanted = include_values and (max_value_bytes is None or size <= max_value_bytes)
    return Item(
        key=key,
        value=cell[value_at:] if wanted else None,
        metadata=ItemMetadata(
            token=IdempotencyToken(Instant(int.from_bytes(cell[:8], "big") * 1_000), cell[_TOKEN_AT:end].decode()),
            size=size,
            expires_at=Instant(expires_us * 1_000) if expires_us else None,
            codec=_decode_metadata(cell[value_at - metadata_bytes : value_at]).codec if metadata_bytes else None,
        ),
    )


def weight_of(item: Item, cell: Cell) -> int:
    """What an item counts against the bytes of a page: key, metadata and the value that is in it."""
    left_out = 0 if item.value is not None else item.metadata.size
    return len(item.key) + len(cell) - left_out


def token_of(stamp: Stamp | None) -> IdempotencyToken | None:
    """A stamp of the store as replies name it."""
    return None if stamp is None else IdempotencyToken(Instant(stamp.time_us * 1_000), stamp.token)


class Shape:
    """What a selection says of each item; bound once per page."""

    __slots__ = ("include_values", "max_value_bytes")

    def __init__(self, selection: Selection) -> None:
        self.include_values = selection.include_values
        self.max_value_bytes = selection.max_value_bytes

    def item(self, key: bytes, cell: Cell) -> Item:
        return item_of(key, cell, self.include_values, self.max_value_bytes)
