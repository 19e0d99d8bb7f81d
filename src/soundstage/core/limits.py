"""The bounds that hold at every door and on every engine, by name, and their checks.

Each check returns what the caller needs next and raises `InvalidArgument` or `TooLarge` with the path of
the field and what to do. Bounds that a stage or namespace may set live in its configuration instead.
"""

from __future__ import annotations

import re

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.core.time import NS_PER_MS, NS_PER_S, NS_PER_US, Duration

CALL_MAX_BYTES = 4 << 20
"""Ids, keys, values and metadata of one write, together."""
CALL_MAX_ITEMS = 5_000
ID_MAX_BYTES = 1_024
KEY_MAX_BYTES = 4_096
TOKEN_MAX_BYTES = 64
"""The text of an idempotency token."""
SEGMENTS_MAX = 1_024
TTL_MIN = Duration(NS_PER_MS)
TTL_MAX = Duration(3_653 * 86_400 * NS_PER_S)
"""Ten years, the leap days included."""

NAMESPACE_MAX_CHARS = 64
IDEMPOTENCY_KEY_MAX_CHARS = 255
"""The header `Idempotency-Key`."""
REQUEST_ID_MAX_CHARS = 128
DEADLINE_MAX = Duration(3_600 * NS_PER_S)
DEPTH_MAX = 100
"""Maps and lists inside one another in a message."""

_NAMESPACE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?")
_PRINTABLE = re.compile(r"[!-~]+")


def check_id(text: str, field: str = "id") -> bytes:
    """The UTF-8 of an id of 1 to 1,024 bytes."""
    encoded = check_text(text, field)
    if not 1 <= len(encoded) <= ID_MAX_BYTES:
        raise _length_refusal(encoded, field, 1, ID_MAX_BYTES)
    return encoded


def check_key(key: bytes, field: str = "key") -> bytes:
    """A key of at most 4,096 bytes; the empty key is one."""
    if len(key) > KEY_MAX_BYTES:
        raise _length_refusal(key, field, 0, KEY_MAX_BYTES)
    return key


def check_token(text: str, field: str = "idempotency_token.token") -> str:
    """The text of an idempotency token: 1 to 64 bytes of UTF-8 without NUL."""
    encoded = check_text(text, field)
    if not 1 <= len(encoded) <= TOKEN_MAX_BYTES:
        raise _length_refusal(encoded, field, 1, TOKEN_MAX_BYTES)
    if b"\0" in encoded:
        raise InvalidArgument(f"{field} holds a NUL", field=field, hint="send a UUID")
    return text


def check_text(text: str, field: str) -> bytes:
    """The UTF-8 of `text`, which must hold no lone surrogates."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"{field} is not Unicode text", field=field, hint="it holds a lone surrogate") from None
    except AttributeError:
        raise InvalidArgument(f"{field} is {type(text).__name__}, not text", field=field, hint="decode it") from None


def check_namespace(name: str, field: str = "namespace") -> str:
    """A namespace's name: 1 to 64 of A-Z a-z 0-9 _ . -, beginning and ending with a letter or digit."""
    if _NAMESPACE.fullmatch(name):
        return name
    if not name:
        raise InvalidArgument(f"{field} is empty", field=field, hint="name the namespace")
    raise InvalidArgument(
        f"{field} {name[:80]!r} is no name",
        field=field,
        hint="use 1 to 64 of A-Z a-z 0-9 _ . -, beginning and ending with a letter or digit",
    )


def check_ttl(ttl: Duration, field: str = "ttl") -> int:
    """The microseconds of a time to live of 1 ms to 10 years, floored."""
    if not TTL_MIN <= ttl <= TTL_MAX:
        raise InvalidArgument(f"{field} {ttl} is out of bounds", field=field, hint="use 1ms to 3653d, or leave it out")
    return ttl // NS_PER_US


def check_deadline(text: str, field: str = "Soundstage-Timeout") -> Duration:
    """The duration of a deadline as a header carries it; longer ones are cut to `DEADLINE_MAX`."""
    try:
        deadline = Duration.parse(text)
    except InvalidArgument as error:
        raise InvalidArgument(error.detail, field=field, hint=error.hint) from None
    if deadline <= 0:
        raise InvalidArgument(f"{field} {text} is no time at all", field=field, hint='use "250ms" or the like')
    return min(deadline, DEADLINE_MAX)


def check_header(text: str, field: str, max_chars: int) -> str:
    """A header value of 1 to `max_chars` visible ASCII characters, safe to log and to send back."""
    if len(text) <= max_chars and _PRINTABLE.fullmatch(text):
        return text
    raise InvalidArgument(
        f"{field} is malformed", field=field, hint=f"use 1 to {max_chars} visible ASCII characters, no spaces"
    )


def check_call_items(count: int, field: str = "items") -> None:
    """A write of at least one and at most 5,000 items."""
    if not count:
        raise InvalidArgument(f"{field} is empty", field=field, hint="give at least one")
    if count > CALL_MAX_ITEMS:
        raise TooLarge(
            f"{field} has {count} entries, the limit is {CALL_MAX_ITEMS}",
            field=field,
            hint="split it over several calls",
        )


def check_call_bytes(size: int, field: str = "items") -> None:
    """A write of at most 4 MiB."""
    if size > CALL_MAX_BYTES:
        raise TooLarge(
            f"{field} holds {size} bytes, the limit is {CALL_MAX_BYTES}",
            field=field,
            hint="split it over several calls",
        )


def _length_refusal(value: bytes, field: str, least: int, most: int) -> InvalidArgument:
    if not value:
        return InvalidArgument(f"{field} is empty", field=field, hint=f"use {least} to {most} bytes")
    return InvalidArgument(
        f"{field} has {len(value)} bytes, the limit is {most}", field=field, hint=f"use {least} to {most} bytes"
    )
