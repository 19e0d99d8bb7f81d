"""Puts and deletes as batches of the records port, checked against every limit before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Collection

from soundstage.core.errors import InvalidArgument
from soundstage.core.limits import KEY_MAX_BYTES, check_call_bytes, check_call_items, check_ttl
from soundstage.core.misfit import ENCODE
from soundstage.core.time import Duration
from soundstage.core.version import delete, put_head
from soundstage.data.kv.api import Predicate, PutItem
from soundstage.data.kv.items import coded_metadata
from soundstage.data.kv.predicates import KEYS, bounds_of, check_keys, checked, size_of
from soundstage.data.kv.signalling import check_codecs
from soundstage.engines.records.port import Batch, RangeDelete


class LargeValues(Exception):
    """A put has values that do not go into their rows."""


def put_batch(
    partition: bytes,
    items: list[PutItem],
    time_us: int,
    token: str,
    value_max: int,
    codecs: Callable[[], Collection[str]] | None = None,
) -> Batch:
    """`items` as cells of one write. Raises `InvalidArgument` or `TooLarge` with the path of the offender.

    Raises `LargeValues` where a value has more than `value_max` bytes. Without `codecs`, which gives those that the
    namespace takes, any is taken.
    """
    if len(items) == 1 and _is_plain(items[0], value_max):
        # Most writes are of one item, and what follows is made for many.
        return Batch(cells=((items[0].key, put_head(time_us, token) + items[0].value),))
    check_call_items(len(items))
    keys = check_keys([item.key for item in items], "items[{}].key")
    try:
        values = [item.value for item in items]
        size = sum(map(len, values))
        check_call_bytes(len(partition) + size_of(keys) + size)
        if size > value_max and max(map(len, values)) > value_max:
            raise LargeValues
        if any(item.codec is not None for item in items):
            if codecs is not None:
                check_codecs(items, codecs())
            return Batch(cells=[(key, _coded(items[at], at, time_us, token)) for at, key in enumerate(keys)])
        ttls = [item.ttl for item in items]
        # What comes before the value is made once for all items alike.
        forever = put_head(time_us, token)
        if ttls.count(None) == len(ttls):
            return Batch(cells=[(key, forever + value) for key, value in zip(keys, values, strict=True)])
        heads = [forever if ttl is None else _expiring(ttl, at, time_us, token) for at, ttl in enumerate(ttls)]
        return Batch(cells=[(key, head + value) for key, head, value in zip(keys, heads, values, strict=True)])
    except TypeError:
        raise _no_bytes(items) from None


def delete_batch(predicate: Predicate | None, time_us: int, token: str) -> Batch:
    """A record tombstone, a range tombstone, or a marker per key."""
    if predicate is None:
        raise InvalidArgument(
            "a delete needs a predicate", field="predicate", hint='{"match_all": {}} deletes the whole record'
        )
    cell = delete(time_us, token)
    predicate = checked(predicate)
    if predicate.match_keys is not None:
        keys = predicate.match_keys.keys
        if not keys:
            raise InvalidArgument("no key is named", field="predicate.match_keys.keys", hint="give at least one")
        return Batch(cells=[(key, cell) for key in check_keys(keys, KEYS)])
    if predicate.match_range is not None:
        start, end = bounds_of(predicate.match_range)
        return Batch(ranges=[RangeDelete(start, end, cell)])
    return Batch(partition=cell)


def _is_plain(item: PutItem, value_max: int) -> bool:
    """Whether nothing is to be said of an item: neither a refusal nor a time to live."""
    key, value = item.key, item.value
    return (
        type(key) is bytes
        and type(value) is bytes
        and item.ttl is None
        and item.codec is None
        and len(key) <= KEY_MAX_BYTES
        and len(value) <= value_max
    )


def _expiring(ttl: Duration, index: int, time_us: int, token: str) -> bytes:
    return put_head(time_us, token, time_us + _lifetime_us(ttl, index))


def _lifetime_us(ttl: Duration, index: int) -> int:
    field = f"items[{index}].ttl"
    if not _is_a(ttl, int):
        raise InvalidArgument(
            f"{field} is {type(ttl).__name__}, not a Duration", field=field, hint='Duration.parse("10m") makes one'
        )
    return check_ttl(ttl, field)


def _coded(item: PutItem, index: int, time_us: int, token: str) -> bytes:
    """The cell of an item that may have a codec."""
    metadata = coded_metadata(item.codec)
    if item.ttl is None:
        return put_head(time_us, token, 0, metadata) + item.value
    return put_head(time_us, token, time_us + _lifetime_us(item.ttl, index), metadata) + item.value


def _no_bytes(items: list[PutItem]) -> InvalidArgument:
    index = next(index for index, item in enumerate(items) if not _is_a(item.value, bytes))
    field = f"items[{index}].value"
    return InvalidArgument(f"{field} is {type(items[index].value).__name__}, not bytes", field=field, hint=ENCODE)


def _is_a(value: object, kind: type) -> bool:
    """Callers in process may pass anything; those that are remote are refused at the door."""
    return isinstance(value, kind)
