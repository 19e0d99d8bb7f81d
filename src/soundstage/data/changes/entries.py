"""The entries of a log that tell of writes: how large they are, and what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from soundstage.core.errors import DataLoss
from soundstage.engines.log.port import CALL_MAX_BYTES, Stored

T = TypeVar("T")

ENTRY_BYTES = 512 << 10
"""About what an entry holds, and the most of a value that goes into one."""

CALL_BYTES = CALL_MAX_BYTES - (64 << 10)
"""Of what is put into a log at once; the rest is for what surrounds it."""


def read(entry: Stored, decode: Callable[[bytes], T]) -> T:
    """What an entry says. Raises `DataLoss` for one that nobody can read."""
    try:
        return decode(entry.value or b"")
    except msgspec.MsgspecError as error:
        raise DataLoss(
            f"an entry of the feed cannot be read: {error}", hint="follow from a later cursor, or from now on"
        ) from None
