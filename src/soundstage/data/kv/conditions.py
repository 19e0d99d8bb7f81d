"""What must hold for a write to be applied, and how its repetition is known."""

from __future__ import annotations

from typing import cast

import msgspec
from xxhash import xxh3_128_digest

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.core.limits import check_token
from soundstage.data.kv import api
from soundstage.data.kv.predicates import check_bytes
from soundstage.engines.records.port import Batch, Condition, Conditional, Stamp

CONDITIONS_MAX = 1_000
"""Of one write."""

_CHOICE = "give exactly one of absent (true) and token"


def conditional(
    conditions: api.Condition | list[api.Condition], batch: Batch, token: str, limit_us: int
) -> Conditional:
    """`batch` as a conditional write that may be stamped up to `limit_us`."""
    checked = port_conditions(conditions)
    return Conditional(conditions=checked, token=token, digest=digest(batch, checked), limit_us=limit_us)


def port_conditions(conditions: api.Condition | list[api.Condition]) -> list[Condition]:
    """`conditions` as the records port takes them; `InvalidArgument` with the path of a wrong one."""
    if isinstance(conditions, api.Condition):
        return [_port_condition(conditions, "condition")]
    if not conditions:
        raise InvalidArgument(
            "condition is an empty list", field="condition", hint="leave it out for a write without conditions"
        )
    if len(conditions) > CONDITIONS_MAX:
        raise TooLarge(
            f"condition has {len(conditions)} entries, the limit is {CONDITIONS_MAX}",
            field="condition",
            hint="condition the whole record: leave out key",
        )
    return [_port_condition(condition, f"condition[{index}]") for index, condition in enumerate(conditions)]


def digest(batch: Batch, conditions: list[Condition]) -> bytes:
    """What two requests under one token share if, and only if, one is a repetition of the other."""
    return xxh3_128_digest(msgspec.msgpack.encode((batch.cells, batch.ranges, batch.partition, conditions)))


def _port_condition(condition: api.Condition, field: str) -> Condition:
    if condition.key is not None:
        check_bytes(condition.key, f"{field}.key")
    token = condition.token
    if condition.absent == (token is not None):
        detail = f"{field} asks for both absence and a token" if token else f"{field} says nothing"
        raise InvalidArgument(detail, field=field, hint=_CHOICE)
    if token is None:
        return Condition(condition.key, None)
    check_token(token.token, f"{field}.token.token")
    time = cast("object", token.generation_time)
    if not isinstance(time, int):
        at = f"{field}.token.generation_time"
        raise InvalidArgument(f"{at} is {type(time).__name__}, not an Instant", field=at, hint="send the token as read")
    return Condition(condition.key, Stamp(token.generation_time // 1_000, token.token))
