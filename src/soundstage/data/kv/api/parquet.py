"""Messages about files of Parquet."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from soundstage.core.files import File
from soundstage.core.message import Int64, NamespaceName

Message = msgspec.Struct


class ExportParquet(Message, kw_only=True):
    namespace: NamespaceName = ""
    max_value_bytes: (
        Annotated[
            int,
            Meta(
                ge=0, le=2**63 - 1, description="larger values are left out, and their rows have none; none: no limit"
            ),
        ]
        | None
    ) = None


class ParquetExported(Message, frozen=True, kw_only=True):
    """`bytes` are those of keys and values; `left_out` counts rows without their value, for it was too large."""

    namespace: str
    file: File
    records: Int64
    items: Int64
    bytes: Int64
    left_out: Int64


class ImportParquet(Message, kw_only=True):
    """With `versions` `keep` every item has the version that the file says, with `new` those of writes of now."""

    namespace: NamespaceName = ""
    file: Annotated[File, Meta(description="with columns id, key, value, and perhaps expires_at and codec")]
    versions: Annotated[
        Literal["keep", "new"] | None,
        Meta(description="whose versions items get; none: `keep` for what `export_parquet` left, else `new`"),
    ] = None


class ParquetImported(Message, frozen=True, kw_only=True):
    """Rows that were put in are `items`, and `bytes` those of their keys and values; `expired` ones were not."""

    namespace: str
    items: Int64
    bytes: Int64
    expired: Int64
