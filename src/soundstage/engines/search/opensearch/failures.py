"""What the answers of OpenSearch mean that are no good news, and what it means that there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from soundstage.core.errors import (
    AlreadyExists,
    DeadlineExceeded,
    Exhausted,
    Forbidden,
    Internal,
    NotFound,
    Outcome,
    SoundstageError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from soundstage.engines.secret import PLACES

_SAID_MAX = 300

_BLOCKS = ("cluster_block_exception", "index_create_block_exception")
_FULL = ("flood-stage watermark", "read-only-allow-delete", "create-index blocked")

STRANGE = "no answer of OpenSearch"
"""The kind of what is said by something else."""


class Cause(msgspec.Struct, frozen=True):
    """What an answer says of an error: its kind, and in words."""

    type: str = ""
    reason: str = ""

    @property
    def shown(self) -> str:
        """The words, shortened."""
        text = " ".join((self.reason or self.type or "without a reason").split())
        return text if len(text) <= _SAID_MAX else f"{text[:_SAID_MAX]}…"


class _Causes(msgspec.Struct, frozen=True):
    root_cause: list[Cause] = []
    type: str = ""
    reason: str = ""
    caused_by: Cause | None = None


class _Refusal(msgspec.Struct, frozen=True):
    error: _Causes | str


def cause_of(body: bytes) -> Cause:
    """The first cause in the body of an answer."""
    try:
        error = msgspec.json.decode(body, type=_Refusal).error
    except msgspec.MsgspecError:
        return Cause(STRANGE, body[:_SAID_MAX].decode("utf-8", "replace"))
    if isinstance(error, str):
        return Cause(reason=error)
    if error.root_cause:
        return error.root_cause[0]
    return Cause(error.type, error.reason or (error.caused_by.reason if error.caused_by else ""))


def cause_in(error: Mapping[str, Any]) -> Cause:
    """The cause in the part of an answer that is about one action or document."""
    return Cause(str(error.get("type", "")), str(error.get("reason", "")))


def is_full(cause: Cause) -> bool:
    """Whether a disk of the cluster has less room than its watermark wants: no pause between two attempts helps."""
    return cause.type in _BLOCKS and any(words in cause.reason for words in _FULL)


def passing(status: int, body: bytes) -> SoundstageError | None:
    """The error that an answer stands for, if the same question may have another answer a little later."""
    if status not in (429, 502, 503, 504):
        return None
    cause = cause_of(body)
    return None if cause.type == "too_many_buckets_exception" else meaning(status, cause)


def meaning(status: int, cause: Cause) -> SoundstageError:
    """The error that an answer stands for."""
    if cause.type == "index_not_found_exception":
        return NotFound(f"OpenSearch: {cause.shown}", hint="make the index, or point the alias at one")
    if cause.type in (
        "resource_already_exists_exception",
        "invalid_alias_name_exception",
        "invalid_index_name_exception",
    ):
        return AlreadyExists(f"OpenSearch: {cause.shown}", field="name", hint="choose another name")
    if cause.type in ("too_many_buckets_exception", "circuit_breaking_exception"):
        return TooLarge(f"OpenSearch: {cause.shown}", field="aggregations", hint="count over less, or in wider steps")
    if is_full(cause):
        return Exhausted(
            f"OpenSearch has no room on its disk: {cause.shown}",
            hint="free some, or add nodes: documents are taken again some seconds after there is enough, new indexes "
            "perhaps only when its setting cluster.blocks.create_index is removed",
            retry_after_ms=10_000,
            outcome="not_applied",
        )
    if cause.type in _BLOCKS:
        return Unavailable(f"OpenSearch: {cause.shown}", hint="see what blocks it", outcome="not_applied")
    match status:
        case 401:
            return Unauthenticated("OpenSearch does not know the user or the password", hint=f"see {PLACES}")
        case 403:
            return Forbidden(f"OpenSearch: {cause.shown}", hint="the user needs all rights on the indexes of its space")
        case 404 if cause.type != STRANGE:
            return NotFound(f"OpenSearch: {cause.shown}")
        case 408 | 502 | 503 | 504:
            return Unavailable(f"OpenSearch answers {status}: {cause.shown}", outcome="unknown")
        case 413:
            return TooLarge(f"OpenSearch: {cause.shown}", hint="raise http.max_content_length")
        case 429:
            return Exhausted(f"OpenSearch: {cause.shown}", retry_after_ms=500, outcome="not_applied")
        case _ if cause.type == STRANGE and status < 500:
            return _stranger(status, cause)
        case _:
            return Internal(f"OpenSearch answers {status}, {cause.type}: {cause.shown}", hint="please report it")


def _stranger(status: int, cause: Cause) -> Unavailable:
    return Unavailable(
        f"what is at the URL answers {status}, and is no OpenSearch: {cause.shown}",
        hint="see that the URL names a node, and whether it speaks TLS",
        outcome="not_applied",
        retryable=False,
    )


def refused(reason: str) -> Unavailable:
    """No node takes connections."""
    return Unavailable(
        f"no node of OpenSearch can be reached: {reason}", hint="see that it runs, and where", outcome="not_applied"
    )


def broken(reason: str, outcome: Outcome) -> Unavailable:
    """A connection was lost before the answer came."""
    return Unavailable(f"the connection to OpenSearch was lost: {reason}", outcome=outcome)


def no_answer(why: object) -> Unavailable:
    """Something answers that is no OpenSearch, or says what none says."""
    return Unavailable(
        f"what OpenSearch is taken for answers nothing that it would: {why}",
        hint="see that the URL names a node, and what stands between",
        outcome="unknown",
    )


def untrusted(reason: str) -> Unavailable:
    """The node's certificate, or ours, is not accepted: asked again it would be refused again."""
    return Unavailable(
        f"no safe connection to OpenSearch: {reason}",
        hint="see tls_ca, tls_cert and the names in the node's certificate",
        outcome="not_applied",
        retryable=False,
    )


def defect(error: Exception) -> Internal:
    """The client takes no such request."""
    return Internal(
        f"the HTTP client refuses a request: {type(error).__name__} {error}",
        hint="this is a defect; please report it",
        outcome="not_applied",
    )


def late(outcome: Outcome) -> DeadlineExceeded:
    """The answer did not come in time."""
    return DeadlineExceeded("OpenSearch did not answer in time", hint="allow more time", outcome=outcome)


def silent(outcome: Outcome) -> Unavailable:
    """The same for a call without a deadline."""
    return Unavailable("OpenSearch did not answer in time", hint="see what it does", outcome=outcome)


def crowded() -> Exhausted:
    """All connections are taken."""
    return Exhausted(
        "all connections to OpenSearch are taken",
        hint="ask less at once, or raise `connections`",
        outcome="not_applied",
    )
