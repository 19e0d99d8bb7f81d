"""Identifiers, drawn from the environment so that a seed repeats them."""

from __future__ import annotations

import uuid

from soundstage.core.environment import Environment

UUID_PATTERN = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""A UUID in small letters."""

_UUID4_CLEAR = ~((0xF << 76) | (0x3 << 62))
_UUID4_SET = (0x4 << 76) | (0x2 << 62)


def uuid4_hex(environment: Environment) -> str:
    """A random UUID (version 4) as 32 hexadecimal digits: what idempotency tokens are made of."""
    return (environment.random.getrandbits(128) & _UUID4_CLEAR | _UUID4_SET).to_bytes(16, "big").hex()


def request_id(environment: Environment) -> str:
    """Names one request in logs, traces and errors: 32 hexadecimal digits."""
    return uuid4_hex(environment)


def uuid7(environment: Environment) -> str:
    """A UUID (version 7) whose text sorts by time of creation, to a quarter of a microsecond.

    For jobs, tokens and other things that are listed in the order they were made; 62 bits are random.
    """
    milliseconds, rest_ns = divmod(environment.now_ns(), 1_000_000)
    # Twelve bits below the millisecond hold its fraction, as RFC 9562 allows for finer sorting.
    fraction = (rest_ns << 12) // 1_000_000
    head = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | fraction << 64
    return str(uuid.UUID(int=head | 0x2 << 62 | environment.random.getrandbits(62)))


def uuid7_ms(text: str) -> int:
    """When a UUID of version 7 was made, in milliseconds since 1970. Raises `ValueError` for what is no UUID."""
    return int(text.replace("-", "")[:12], 16)
