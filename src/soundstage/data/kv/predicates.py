"""Which keys a request is about: checked, and as the records port understands it."""

from __future__ import annotations

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.core.limits import CALL_MAX_ITEMS, KEY_MAX_BYTES, check_key
from soundstage.data.kv.api import MatchAll, MatchRange, Predicate
from soundstage.engines.records.port import Span

EVERYTHING = Predicate(match_all=MatchAll())

_KINDS = ("match_all", "match_keys", "match_range")
_CHOICE = "give exactly one of match_all, match_keys, match_range"


def checked(predicate: Predicate | None) -> Predicate:
    """`predicate`, of which exactly one field is given; for none, the one that matches everything."""
    if predicate is None:
        return EVERYTHING
    given = [kind for kind in _KINDS if getattr(predicate, kind) is not None]
    if len(given) == 1:
        return predicate
    detail = f"predicate has {' and '.join(given)}" if given else "predicate is empty"
    raise InvalidArgument(detail, field="predicate", hint=_CHOICE)


def span_of(predicate: Predicate, reverse: bool = False) -> Span | None:
    """The keys that a checked `predicate` without `match_keys` spans; None when no key can lie in them."""
    match = predicate.match_range
    if match is None:
        return Span(reverse=reverse)
    start, end = _bounds(match)
    return None if end is not None and start >= end else Span(start, end, reverse)


def check_keys(keys: list[bytes], field: str) -> list[bytes]:
    """`keys`, at most 5,000 and each of them once; `field` is the path of one, with `{}` for its index."""
    if len(keys) > CALL_MAX_ITEMS:
        raise TooLarge(
            f"{field.partition('[')[0]} has {len(keys)} entries, the limit is {CALL_MAX_ITEMS}",
            field=field.partition("[")[0],
            hint="split it over several calls",
        )
    # Checked all at once, and one by one only where something is amiss.
    if keys and (set(map(type, keys)) != {bytes} or max(map(len, keys)) > KEY_MAX_BYTES):
        for index, key in enumerate(keys):
            _check_bytes(key, field.format(index))
    if len(set(keys)) != len(keys):
        raise _duplicate(keys, field)
    return keys


def _check_bytes(key: object, field: str) -> None:
    if not isinstance(key, bytes):
        raise InvalidArgument(f"{field} is {type(key).__name__}, not bytes", field=field, hint="encode text first")
    check_key(key, field)


def _duplicate(keys: list[bytes], field: str) -> InvalidArgument:
    first: dict[bytes, int] = {}
    for index, key in enumerate(keys):
        if first.setdefault(key, index) != index:
            path = field.format(index)
            return InvalidArgument(
                f"{path} is the same key as {field.format(first[key])}", field=path, hint="give each key once"
            )
    raise AssertionError("keys that differ in number from their set hold one twice")


def _bounds(match: MatchRange) -> tuple[bytes, bytes | None]:
    """Start (inclusive) and end (exclusive). Raises `InvalidArgument` for a reversed range."""
    for bound in ("start", "end"):
        value = getattr(match, bound)
        if value is not None:
            _check_bytes(value, f"predicate.match_range.{bound}")
    start, end = match.start or b"", match.end
    if end is not None and start > end:
        raise InvalidArgument(
            "predicate.match_range starts after its end",
            field="predicate.match_range",
            hint="swap start and end; selection.reverse turns the order of reading",
        )
    # The least key after k is k with a zero byte appended.
    if match.start is not None and not match.start_inclusive:
        start += b"\0"
    if end is not None and match.end_inclusive:
        end += b"\0"
    return start, end
