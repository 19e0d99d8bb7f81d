"""What the objects below a prefix are called.

    packed   objects/KEY                  the bytes of a blob, and behind them its head
    plain    heads/KEY                    its head alone
             files/FOLDERS/NAME.PUT.END   its bytes and nothing else, of one put, for other programs
    both     expiring/MICROSECOND/KEY     empty: what will expire

The last part of a key is NAME.END, or NAME alone: its end stays at the end, where programs look for it. PUT is the
number of the put, so that a blob is replaced when its head is, by one request, and not while its bytes are sent.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

Layout: TypeAlias = Literal["packed", "plain"]

_PUT = re.compile(r"[0-9a-f]{32}")


class Names:
    """Of one prefix; `heads` begins the names of the objects by which blobs are known, and keys follow."""

    def __init__(self, prefix: str, layout: Layout) -> None:
        self.layout: Layout = layout
        packed, plain = f"{prefix}objects/", f"{prefix}heads/"
        self.heads: str = plain if layout == "plain" else packed
        self.others: str = packed if layout == "plain" else plain
        self.files: str = f"{prefix}files/"
        self.expiring: str = f"{prefix}expiring/"

    def head(self, key: str) -> str:
        """The object by which a blob is known."""
        return self.heads + key

    def bytes(self, key: str, put: str) -> str | None:
        """The object that has the bytes of a put, where they are not in its head."""
        if self.layout == "packed":
            return None
        folders, slash, last = key.rpartition("/")
        name, dot, end = last.rpartition(".")
        return f"{self.files}{folders}{slash}{name}.{put}.{end}" if dot else f"{self.files}{key}.{put}"

    def put(self, name: str) -> Put | None:
        """Of which put an object has the bytes; None for what is none's."""
        folders, slash, last = name.removeprefix(self.files).rpartition("/")
        parts = last.split(".")
        at = -1 if len(parts) == 2 else -2
        if len(parts) < 2 or not _PUT.fullmatch(parts[at]):
            return None
        put = parts.pop(at)
        return Put(folders + slash + ".".join(parts), put)


class Put(NamedTuple):
    """The key of a blob, and the number of the put."""

    key: str
    number: str
