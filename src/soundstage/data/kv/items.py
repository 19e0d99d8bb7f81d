"""Rows of the records port as items of a reply."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from soundstage.core import version
from soundstage.core.compression import PLAIN
from soundstage.core.errors import DataLoss
from soundstage.core.message import IdempotencyToken
from soundstage.core.time import Instant
from soundstage.data.kv.api import Item, ItemMetadata
from soundstage.data.kv.manifest import Manifest
from soundstage.engines.records.port import Cell, Stamp


class StoredMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a cell says of its value besides the version; a cell without metadata has none of it.

    `value` says where a value lies that is not in the cell.
    """

    codec: str | None = None
    value: Manifest | None = None


_decode_metadata = msgspec.msgpack.Decoder(StoredMetadata).decode
_encode_metadata = msgspec.msgpack.Encoder().encode
_parts = version.parts


def item_of(key: bytes, cell: Cell, value_max: int | None = None) -> Item:
    """The item that a live row holds; a value larger than `value_max` is left out, and any where that is negative.

    So is one that lies in chunks, of which the row has the `manifest_of`.
    """
    time_us, token, expires_us, metadata, value_at = _parts(cell)
    size, codec, in_row = len(cell) - value_at, None, True
    if metadata:
        stored = _decode_metadata(metadata)
        codec = stored.codec
        if stored.value is not None:
            size, in_row = stored.value.size, False
    return Item(
        key=key,
        value=cell[value_at:] if in_row and (value_max is None or size <= value_max) else None,
        metadata=ItemMetadata(
            token=IdempotencyToken(Instant(time_us * 1_000), token),
            size=size,
            expires_at=Instant(expires_us * 1_000) if expires_us else None,
            codec=codec,
        ),
    )


def id_of(partition: bytes) -> str:
    """The id of the record that a partition of the store holds. Raises `DataLoss` for one that kv has not written."""
    try:
        return partition.decode()
    except UnicodeDecodeError:
        raise DataLoss(
            f"a record of the namespace has an id that is no text: {partition[:40]!r}",
            hint="kv has not written it; import or copy the namespace again from where it came from",
        ) from None


def manifest_of(cell: Cell) -> Manifest | None:
    """Where the value of a live row lies; None where it is in the row itself."""
    metadata = _parts(cell)[3]
    return _decode_metadata(metadata).value if metadata else None


def put_in_chunks(cell: Cell, manifest: Manifest) -> Cell:
    """The same put as `cell`, its value lying in chunks."""
    found = version.split(cell)
    metadata = metadata_of(manifest, codec_of(cell))
    return version.put_head(found.time_us, found.token, found.expires_us, metadata)


def metadata_of(manifest: Manifest, codec: str | None = None) -> bytes:
    """What the row of a value in chunks has in its metadata."""
    return _encode_metadata(StoredMetadata(codec=codec, value=manifest))


@lru_cache(maxsize=1_024)
def coded_metadata(codec: str | None) -> bytes:
    """What the row of a value that is compressed so has in its metadata; nothing for one that is as it is."""
    return b"" if codec is None or codec == PLAIN else _encode_metadata(StoredMetadata(codec=codec))


def codec_of(cell: Cell) -> str | None:
    """How the value of a row is compressed."""
    metadata = _parts(cell)[3]
    return _decode_metadata(metadata).codec if metadata else None


def token_of(stamp: Stamp | None) -> IdempotencyToken | None:
    """A stamp of the store as replies name it."""
    return None if stamp is None else IdempotencyToken(Instant(stamp.time_us * 1_000), stamp.token)
