"""The options of the embedded database."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from soundstage.core.size import Size

_MIB = 1 << 20

Durability: TypeAlias = Literal["always", "group", "os"]


class RocksOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one folder is kept. `durability`: see `GroupCommit`."""

    durability: Durability = "group"
    cache: Annotated[Size, Meta(description="memory for cached blocks")] = Size(256 * _MIB)
    low_water: Annotated[Size, Meta(description="writes but deletes are refused below this much free disk")] = Size(
        256 * _MIB
    )
    write_buffer: Annotated[Size, Meta(description="memory for writes that are not yet in files")] = Size(64 * _MIB)
    headers: Annotated[Size, Meta(description="memory for what is known of the records last used")] = Size(64 * _MIB)
    open_files: Annotated[int, Meta(ge=16, description="files kept open")] = 512
