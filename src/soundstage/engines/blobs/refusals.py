"""What engines say when they refuse a call, alike on every engine."""

from __future__ import annotations

from soundstage.core.errors import (
    AlreadyExists,
    DataLoss,
    Exhausted,
    InvalidArgument,
    NotFound,
    TooLarge,
    Unavailable,
)
from soundstage.engines.blobs.port import LIST_MAX, BlobInfo, Expectation


def stopped() -> Unavailable:
    return Unavailable("the engine is stopped", outcome="not_applied", retryable=False)


def no_blob(key: str) -> NotFound:
    return NotFound(f"there is no blob {key!r}", hint="it may have expired")


def exists(key: str) -> AlreadyExists:
    return AlreadyExists(f"the blob {key!r} exists", hint="choose another key, or replace it")


def check_all(size: int, quota: int | None, expect: Expectation) -> None:
    """Raises `Exhausted` when all blobs, those that are being put included, have more bytes than they may."""
    if quota is not None and size > quota:
        raise over_quota(quota)
    if expect.most_in_all is not None and size > expect.most_in_all:
        raise Exhausted(
            f"all blobs together may have {expect.most_in_all} bytes, which are used up or spoken for",
            hint="delete some, let them expire, or raise the quota",
            retry_after_ms=60_000,
        )


def over_quota(quota: int) -> Exhausted:
    return Exhausted(
        f"the engine's quota of {quota} bytes is used up",
        hint="delete blobs, or raise the engine's option quota",
        retry_after_ms=60_000,
    )


def damaged(key: str) -> DataLoss:
    return DataLoss(f"the blob {key!r} is not what was written", hint="restore it, or write it again")


def check_expiry(expires_us: int, now_us: int) -> None:
    """Raises `InvalidArgument` for an expiry that has passed."""
    if expires_us and expires_us <= now_us:
        raise InvalidArgument("the blob would have expired already", field="expires_us", hint="use a later time, or 0")


def check_growth(size: int, expect: Expectation) -> None:
    """Raises `TooLarge` once more has come than is taken, `InvalidArgument` once more than announced."""
    if expect.max_bytes is not None and size > expect.max_bytes:
        raise TooLarge(f"the blob has more than {expect.max_bytes} bytes, the limit", hint="send it in parts")
    if expect.size is not None and size > expect.size:
        raise _other_size(size, expect.size, more=True)


def check_whole(size: int, sha256: str, expect: Expectation) -> None:
    """Raises `InvalidArgument` when what came is not what was announced."""
    if expect.size is not None and size != expect.size:
        raise _other_size(size, expect.size, more=False)
    if expect.sha256 is not None and sha256 != expect.sha256.lower():
        raise InvalidArgument(
            f"the bytes have the sha256 {sha256}, not {expect.sha256}", field="sha256", hint="send them again"
        )


def check_range(info: BlobInfo, start: int, end: int | None) -> int:
    """The end of a range within the blob; raises `InvalidArgument`."""
    last = info.size if end is None else end
    if 0 <= start <= last <= info.size:
        return last
    raise InvalidArgument(
        f"bytes {start} to {last} are no range of a blob of {info.size}",
        field="range",
        hint="0 <= start <= end <= size",
    )


def check_limit(limit: int) -> None:
    """Raises `InvalidArgument` unless `limit` is 1 to 1,000."""
    if not 1 <= limit <= LIST_MAX:
        raise InvalidArgument(f"limit is {limit}", field="limit", hint=f"use 1 to {LIST_MAX}")


def _other_size(size: int, announced: int, *, more: bool) -> InvalidArgument:
    came = f"at least {size}" if more else f"{size}"
    return InvalidArgument(f"{came} bytes came, {announced} were announced", field="size", hint="send it again, whole")
