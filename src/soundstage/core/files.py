"""Files in messages: the bytes travel apart, a message carries what is needed to find and check them."""

from __future__ import annotations

import msgspec

from soundstage.core.ids import UUID_PATTERN
from soundstage.core.message import Int64

PATH = "/v1/blobs"
"""Where a stage has its files over HTTP."""

BLOB_PATTERN = UUID_PATTERN
"""The id of a file."""

DEFAULT_MEDIA_TYPE = "application/octet-stream"


class File(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file kept by a stage under `/v1/blobs/<blob>`.

    `name` is for people and never a path. `sha256` is of the whole content, in hexadecimal.
    """

    blob: str
    name: str = ""
    media_type: str = DEFAULT_MEDIA_TYPE
    size: Int64 = 0
    sha256: str = ""
