"""The knobs of backups."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class SystemConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[systems.backups]`."""

    folder: Annotated[
        str,
        Meta(
            description="where backups lie; relative to the data folder. Name one on another disk, for a lost disk"
            " takes what lies on it",
            min_length=1,
        ),
    ] = "backups"
