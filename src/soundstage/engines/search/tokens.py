"""Where a page ended, as bytes that only the same request takes back."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

import msgspec

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.engines.search import refusals
from soundstage.engines.search.port import SCORED_MAX_HITS, IndexSpec, Request
from soundstage.engines.search.queries import Scalar
from soundstage.engines.search.values import scalar

Position: TypeAlias = tuple[list[Scalar | None], str]
"""The sort keys of the last document, None where it has none, and its id."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, list[Any]]).decode


def sorted_token(request: Request, position: Position) -> bytes:
    """The end of a page of a sorted request."""
    return _encode((_digest(request), [*position[0], position[1]]))


def scored_token(request: Request, passed: int) -> bytes:
    """The end of a page in the order of scores, after so many hits."""
    return _encode((_digest(request), [passed]))


def position(request: Request, spec: IndexSpec) -> Position | None:
    """Behind which document the page of a sorted request begins; None: at the beginning. Raises `InvalidArgument`."""
    values = _values(request)
    if values is None:
        return None
    if len(values) != len(request.sort) + 1 or not isinstance(values[-1], str):
        raise refusals.wrong_token()
    try:
        keys = [
            None if value is None else scalar(spec.fields[sort.field], value, "after")
            for sort, value in zip(request.sort, values, strict=False)
        ]
    except (InvalidArgument, TooLarge):
        raise refusals.wrong_token() from None
    return keys, values[-1]


def passed(request: Request) -> int:
    """How many hits are before the page of a request in the order of scores. Raises `InvalidArgument`."""
    values = _values(request)
    if values is None:
        return 0
    if len(values) != 1 or not isinstance(values[0], int) or not 0 <= values[0] <= SCORED_MAX_HITS:
        raise refusals.wrong_token()
    return values[0]


def _values(request: Request) -> list[Any] | None:
    if request.after is None:
        return None
    try:
        digest, values = _decode(request.after)
    except msgspec.DecodeError:
        raise refusals.wrong_token() from None
    if digest != _digest(request):
        raise refusals.wrong_token()
    return values


def _digest(request: Request) -> bytes:
    asked: tuple[Any, Sequence[Any]] = (request.query, request.sort)
    return blake2b(_encode(asked), digest_size=8).digest()
