"""Which keys a request is about: checked, and as the records port understands it."""

from __future__ import annotations

from typing import NamedTuple

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.core.limits import CALL_MAX_ITEMS, KEY_MAX_BYTES, check_key
from soundstage.core.misfit import ENCODE
from soundstage.data.kv.api import MatchAll, MatchRange, Predicate
from soundstage.engines.records.port import KEY_CEILING, Span

EVERYTHING = Predicate(match_all=MatchAll())

KEYS = "predicate.match_keys.keys[{}]"

_KINDS = ("match_all", "match_keys", "match_range")
_CHOICE = "give exactly one of match_all, match_keys, match_range"


class Wanted(NamedTuple):
    """What of a record is read, in which direction: `keys` in the order of reading, or where None the `span`."""

    span: Span
    keys: list[bytes] | None = None

    @property
    def beginning(self) -> bytes:
        """Where a read that has not begun goes on."""
        if self.span.reverse:
            return KEY_CEILING if self.span.end is None else self.span.end
        return self.span.start

    @property
    def is_whole(self) -> bool:
        """Whether it is every item of the record."""
        return self.keys is None and not self.span.start and self.span.end is None

    def after(self, resume: bytes) -> Wanted:
        """What is left for a page that goes on at `resume`."""
        start, end, reverse = self.span.start, self.span.end, self.span.reverse
        rest = Span(start, resume, True) if reverse else Span(resume, end)
        if self.keys is None:
            return Wanted(rest)
        return Wanted(rest, [key for key in self.keys if (key < resume if reverse else key >= resume)])

    def resume_at(self, key: bytes) -> bytes:
        """Where a page goes on that ended before `key`."""
        # Going down, a span ends before its bound, and the least key after k is k with a zero byte appended.
        return key + b"\0" if self.span.reverse else key


def checked(predicate: Predicate | None) -> Predicate:
    """`predicate`, of which exactly one field is given; for none, the one that matches everything."""
    if predicate is None:
        return EVERYTHING
    given = [kind for kind in _KINDS if getattr(predicate, kind) is not None]
    if len(given) == 1:
        return predicate
    detail = f"predicate has {' and '.join(given)}" if given else "predicate is empty"
    raise InvalidArgument(detail, field="predicate", hint=_CHOICE)


def wanted_of(predicate: Predicate | None, *, reverse: bool = False) -> Wanted:
    """What `predicate` asks for. Raises `InvalidArgument` for one that breaks the rules."""
    predicate = checked(predicate)
    if predicate.match_keys is not None:
        return Wanted(Span(reverse=reverse), sorted(check_keys(predicate.match_keys.keys, KEYS), reverse=reverse))
    if predicate.match_range is None:
        return Wanted(Span(reverse=reverse))
    start, end = bounds_of(predicate.match_range)
    return Wanted(Span(start, end, reverse))


def bounds_of(match: MatchRange) -> tuple[bytes, bytes | None]:
    """Start (inclusive) and end (exclusive). Raises `InvalidArgument` for a reversed range."""
    for bound in ("start", "end"):
        value = getattr(match, bound)
        if value is not None:
            check_bytes(value, f"predicate.match_range.{bound}")
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
    # With both bounds the same key and both exclusive, the start lies after the end: no key is between.
    return start, end if end is None else max(start, end)


def check_keys(keys: list[bytes], field: str) -> list[bytes]:
    """`keys`, at most 5,000 and each of them once; `field` is the path of one, with `{}` for its index."""
    path = field.partition("[")[0]
    if not _is_list(keys):
        raise InvalidArgument(f"{path} is {type(keys).__name__}, not a list", field=path, hint="give a list of keys")
    if len(keys) > CALL_MAX_ITEMS:
        raise TooLarge(
            f"{path} has {len(keys)} entries, the limit is {CALL_MAX_ITEMS}",
            field=path,
            hint="split it over several calls",
        )
    # Checked all at once, and one by one only where something is amiss.
    if keys and (set(map(type, keys)) != {bytes} or size_of(keys) > KEY_MAX_BYTES):
        for index, key in enumerate(keys):
            check_bytes(key, field.format(index))
    if len(set(keys)) != len(keys):
        raise _duplicate(keys, field)
    return keys


def size_of(keys: list[bytes]) -> int:
    """The bytes of all keys."""
    # Joining adds up many short lengths twice as fast as summing them.
    return len(b"".join(keys))


def _is_list(keys: object) -> bool:
    """Callers in process may pass anything."""
    return isinstance(keys, list | tuple)


def check_bytes(key: object, field: str) -> None:
    """`key` is one of at most 4,096 bytes. Raises `InvalidArgument` or `TooLarge` with `field` otherwise."""
    if not isinstance(key, bytes):
        raise InvalidArgument(f"{field} is {type(key).__name__}, not bytes", field=field, hint=ENCODE)
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
