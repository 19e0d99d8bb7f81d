"""Keys as the meta protocol carries them, and the node that has each.

A plain key goes as it is, one with other bytes as base64, and one that is too long for a memcached as its digest, which
nobody can make two keys of. On the server a key of base64 is the bytes it stands for.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Sequence
from typing import Generic, TypeVar

from xxhash import xxh3_64_intdigest

T = TypeVar("T")

PLAIN_MAX_BYTES = 250
BINARY_MAX_BYTES = 186
DIGEST_BYTES = 24
DIGEST_MARK = b"\0#"

_PLAIN = re.compile(rb"[!-~]{1,250}")
_PRINTABLE = bytes(range(33, 127))


def worded(key: bytes) -> tuple[bytes, bytes]:
    """The word that stands for `key` in a command, and the flag that the command then needs, if any."""
    if _PLAIN.fullmatch(key):
        return key, b""
    if len(key) > BINARY_MAX_BYTES:
        key = DIGEST_MARK + hashlib.blake2b(key, digest_size=DIGEST_BYTES).digest()
    return binascii.b2a_base64(key, newline=False), b" b"


def got(keys: Sequence[bytes], prefix: bytes) -> bytes:
    """The commands that get `keys`, each with its value, client flags and number."""
    if not prefix and max(map(len, keys)) <= PLAIN_MAX_BYTES and not b"".join(keys).translate(None, _PRINTABLE):
        return b"mg " + b" v f c\r\nmg ".join(keys) + b" v f c\r\n"
    return b"".join([b"mg %s v f c%s\r\n" % worded(prefix + key) for key in keys])


class Ring(Generic[T]):
    """Which of several nodes has a key: that for which key and node together have the greatest hash.

    The order in which nodes are named means nothing; their names do.
    """

    def __init__(self, nodes: Sequence[tuple[str, T]]) -> None:
        self._nodes = [(xxh3_64_intdigest(name.encode()), node) for name, node in nodes]
        self._only = nodes[0][1] if len(nodes) == 1 else None

    def node(self, key: bytes) -> T:
        """The node of the key."""
        if self._only is not None:
            return self._only
        return max(self._nodes, key=lambda each: xxh3_64_intdigest(key, each[0]))[1]
