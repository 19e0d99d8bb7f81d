"""Rows of the records port as items of a reply."""

from __future__ import annotations

import msgspec

from soundstage.core import version
from soundstage.core.message import IdempotencyToken
from soundstage.core.time import Instant
from soundstage.data.kv.api import Item, ItemMetadata
from soundstage.engines.records.port import Cell, Stamp


class StoredMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a cell says of its value besides the version; a cell without metadata has none of it."""

    codec: str | None = None


_decode_metadata = msgspec.msgpack.Decoder(StoredMetadata).decode
_parts = version.parts


def item_of(key: bytes, cell: Cell, value_max: int | None = None) -> Item:
    """The item that a live row holds; a value larger than `value_max` is left out, and any where that is negative."""
    time_us, token, expires_us, metadata, value_at = _parts(cell)
    size = len(cell) - value_at
    return Item(
        key=key,
        value=cell[value_at:] if value_max is None or size <= value_max else None,
        metadata=ItemMetadata(
            token=IdempotencyToken(Instant(time_us * 1_000), token),
            size=size,
            expires_at=Instant(expires_us * 1_000) if expires_us else None,
            codec=_decode_metadata(metadata).codec if metadata else None,
        ),
    )


def token_of(stamp: Stamp | None) -> IdempotencyToken | None:
    """A stamp of the store as replies name it."""
    return None if stamp is None else IdempotencyToken(Instant(stamp.time_us * 1_000), stamp.token)
