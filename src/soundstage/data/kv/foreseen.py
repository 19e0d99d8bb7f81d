"""Conditions that fail already, before much is sent for a write that would be refused in the end.

It is decided again when the write is made. What is foreseen is refused only where the write is no repetition of one
that succeeded: those are answered as the first was, whatever became of their conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from soundstage.core import version
from soundstage.core.errors import (
    DeadlineExceeded,
    InvalidArgument,
    PreconditionFailed,
    TokenReused,
    TooLarge,
    Unavailable,
)
from soundstage.core.limits import CALL_MAX_BYTES
from soundstage.core.message import IdempotencyToken
from soundstage.data.kv import api
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.tokens import effective
from soundstage.data.kv.writes import put_batch
from soundstage.engines.records.port import ALL, Batch, Budget, Condition, Conditional, Stamp
from soundstage.engines.records.refusals import condition_failed

MakeConditional: TypeAlias = Callable[
    [ServedNamespace, api.Condition | list[api.Condition], Batch, IdempotencyToken], Conditional
]
"""A batch as a conditional write under its token."""

_NEVER = Condition(b"", Stamp(0, "\0"))
"""No version has a token like this."""

_ONE = Budget(rows=1, bytes=1)


async def check_foreseen(
    served: ServedNamespace, partition: bytes, asked: Conditional, token: IdempotencyToken | None, now_us: int
) -> None:
    """Raise `PreconditionFailed` for a write that would fail now, and is no repetition of one that did not.

    Nothing is written. `asked` is the write's own but for its digest.
    """
    try:
        failure = await _failure(served, partition, asked.conditions, now_us)
        if failure is not None and (token is None or not await _is_recorded(served, partition, asked, token)):
            raise failure
    except (Unavailable, DeadlineExceeded) as error:
        error.outcome = "not_applied"
        raise


async def answered_before(
    served: ServedNamespace,
    partition: bytes,
    request: api.PutItems,
    time_us: int,
    conditional: MakeConditional,
    refusal: InvalidArgument,
    deadline_ns: int | None,
) -> api.PutItemsReply:
    """What the first was answered of a conditional write that is taken no more, its codec for one; else `refusal`.

    Nothing is written. Raises `TokenReused` where another one was taken under its token, and what the store raises
    that does not know by `deadline_ns`.
    """
    token = request.idempotency_token
    if token is None or request.condition is None:
        raise refusal
    try:
        whole = put_batch(partition, request.items, time_us, token.token, CALL_MAX_BYTES)
        asked = conditional(served, request.condition, whole, token)
        never = msgspec.structs.replace(asked, conditions=[_NEVER])
        stamp_us = await served.store.apply(served.table, partition, whole, conditional=never, deadline_ns=deadline_ns)
    except (InvalidArgument, TooLarge, PreconditionFailed):
        raise refusal from None
    return api.PutItemsReply(idempotency_token=effective(token, stamp_us), remember_for=served.remember_for)


async def _is_recorded(served: ServedNamespace, partition: bytes, asked: Conditional, token: IdempotencyToken) -> bool:
    """Whether the record remembers a write under the token: only then is one that can never hold not refused for it."""
    never = msgspec.structs.replace(asked, conditions=[_NEVER])
    batch = Batch(cells=[(b"", version.put(token.generation_time // 1_000, token.token, b""))])
    try:
        await served.store.apply(served.table, partition, batch, conditional=never)
    except TokenReused:
        return True
    except PreconditionFailed:
        return False
    raise AssertionError("a condition held that cannot")


async def _failure(
    served: ServedNamespace, partition: bytes, conditions: Sequence[Condition], now_us: int
) -> PreconditionFailed | None:
    """What the first condition that does not hold is refused with."""
    keys = list(dict.fromkeys(each.key for each in conditions if each.key is not None))
    page = await served.store.get(served.table, partition, keys, now_us)
    found = {key: Stamp(version.time_us(cell), version.token(cell)) for key, cell in page.rows}
    for each in conditions:
        if each.key is not None:
            actual = found.get(each.key)
        elif each.stamp is not None:
            actual = page.stamp
        else:
            is_live = bool((await served.store.read(served.table, partition, ALL, _ONE, now_us)).rows)
            actual = page.stamp if is_live else None
        if actual != each.stamp:
            return condition_failed(each, actual)
    return None
