"""Requests as callers in process made them, who may pass anything: nothing that a remote one could not send gets by."""

from __future__ import annotations

from typing import TypeVar

from soundstage.core.codec import MSGPACK, decoder, request_encoder

T = TypeVar("T")

_encode = request_encoder(MSGPACK)


def as_read(message: T) -> T:
    """`message` as the door reads it: every field of its type and within its bounds, and nothing shared with it.

    Raises `InvalidArgument` with the path of the field that is not.
    """
    return decoder(type(message), MSGPACK).decode(_encode(message))
