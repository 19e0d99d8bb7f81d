"""A dictionary of zstd, and values that it is good for."""

from __future__ import annotations

import random
from functools import cache

import zstandard

SYLLABLES = ("ka", "lo", "mi", "ne", "pu", "ra", "si", "to", "vu", "we")


def documents(count: int, seed: int = 1) -> list[bytes]:
    """Values that have much in common, and are the same for the same seed."""
    chance = random.Random(seed)
    return [
        b'{"member": "%08x", "device": "living-room-television", "language": "%b", "paused": %b, "position_ms": %d}'
        % (
            chance.getrandbits(32),
            "".join(chance.choices(SYLLABLES, k=2)).encode(),
            chance.choice((b"true", b"false")),
            chance.randrange(7_200_000),
        )
        for _ in range(count)
    ]


@cache
def content_of_words(seed: int = 1) -> bytes:
    """What a dictionary for `documents` holds."""
    return zstandard.train_dictionary(2_048, [*documents(300, seed)]).as_bytes()
