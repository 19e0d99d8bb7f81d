"""What a file of ours says of itself, at its end."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from soundstage.core.errors import InvalidArgument

FORMAT = 1
"""Of the columns and of what the footer says. Newer files are refused."""

MARK = b"soundstage"
"""The key in a file's footer under which it says what it is."""


class Footer(msgspec.Struct, frozen=True, kw_only=True):
    """What a file of ours says of itself: the system it is of, its rows, their bytes, and values left out."""

    format: int = FORMAT
    kind: str = "kv"
    namespace: str
    exported_us: int
    items: int
    bytes: int
    left_out: int = 0


def footer_of(known: Mapping[bytes, bytes]) -> Footer | None:
    """What a file says of itself, by the texts of its end; None: it is another program's.

    Raises `InvalidArgument` for a format that is not known here.
    """
    said = known.get(MARK)
    if said is None:
        return None
    try:
        footer = msgspec.json.decode(said, type=Footer)
    except msgspec.MsgspecError:
        raise InvalidArgument(
            "the file is no file of Parquet: its footer has another's mark", field="file", hint="send one, whole"
        ) from None
    if footer.format > FORMAT:
        raise InvalidArgument(
            f"the file has the format {footer.format}; this release knows {FORMAT}",
            field="file",
            hint="import it with the release that exported it, or a newer one",
        )
    return footer
