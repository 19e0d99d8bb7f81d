"""What the door knows of late, and may overwrite without looking: which keys are strings, which fields are there.

A string that is overwritten by a string needs no condition, only the knowledge that it is one; so does a field that
is there and does not expire. All that reaches the namespace by this door is known here at once. What others write
through kv is not: so knowledge is good for a second.
"""

from __future__ import annotations

from collections.abc import Callable

KNOWN_NS = 1_000_000_000
KNOWN_MAX = 20_000


class Known:
    """Keys of one namespace that held a string, and fields that existed, less than a second ago."""

    __slots__ = ("_count", "_fields", "_now_ns", "_strings")

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._strings: dict[str, int] = {}
        self._fields: dict[str, dict[bytes, int]] = {}
        self._count = 0

    def learn_string(self, id: str) -> None:
        """The record is a string at this moment."""
        strings = self._strings
        if id not in strings and len(strings) >= KNOWN_MAX:
            del strings[next(iter(strings))]
        strings[id] = self._now_ns() + KNOWN_NS

    def learn_field(self, id: str, field: bytes) -> None:
        """The record is a hash that has the field at this moment; neither expires."""
        fields = self._fields.setdefault(id, {})
        if field not in fields:
            self._count += 1
            if self._count > KNOWN_MAX:
                fields = dict[bytes, int]()
                self._fields, self._count = {id: fields}, 1
        fields[field] = self._now_ns() + KNOWN_NS

    def forget(self, id: str) -> None:
        """The record may be anything."""
        self.forget_string(id)
        self.forget_fields(id)

    def forget_string(self, id: str) -> None:
        """The record may be no string."""
        self._strings.pop(id, None)

    def forget_fields(self, id: str) -> None:
        """The record's fields may have gone, or expire."""
        self._count -= len(self._fields.pop(id, ()))

    def is_string(self, id: str) -> bool:
        """Whether the record was a string less than a second ago, and nothing here has changed that."""
        until = self._strings.get(id)
        return until is not None and self._now_ns() < until

    def has_field(self, id: str, field: bytes) -> bool:
        """Whether the record had the field less than a second ago, and nothing here has changed that."""
        fields = self._fields.get(id)
        if fields is None:
            return False
        until = fields.get(field)
        return until is not None and self._now_ns() < until
