"""What the door knows of late, and may overwrite without looking: which keys are strings, which fields are there.

A string that is overwritten by a string needs no condition, only the knowledge that it is one; so does a field that
is there and does not expire. All that reaches the namespace by this door is known here at once. What others write
through kv is not: so knowledge is good for a second.
"""

from __future__ import annotations

from collections.abc import Callable

KNOWN_NS = 1_000_000_000
KNOWN_MAX = 20_000


class Forgotten:
    """In which turn each record was forgotten last, as far as there is room; of the others the latest it may have been.

    What was read or written in an earlier turn may not be so any more, although its reply comes only now.
    """

    __slots__ = ("_floor", "_last", "turn")

    def __init__(self) -> None:
        self.turn: int = 0
        self._floor = 0
        self._last: dict[str, int] = {}

    def note(self, id: str) -> None:
        """The record is forgotten, in a new turn."""
        self.turn += 1
        if len(self._last) >= KNOWN_MAX:
            self._last.clear()
            self._floor = self.turn
        self._last[id] = self.turn

    def is_since(self, id: str, turn: int) -> bool:
        """Whether the record may have been forgotten after that turn."""
        return self._last.get(id, self._floor) > turn


class Known:
    """Keys of one namespace that held a string, and fields that existed, less than a second ago.

    `strings` and `fields` say in which turn it is: a writer remembers it before it reads or writes, and has learned
    nothing when the record was forgotten since.
    """

    __slots__ = ("_count", "_fields", "_now_ns", "_strings", "fields", "strings")

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._strings: dict[str, int] = {}
        self._fields: dict[str, dict[bytes, int]] = {}
        self._count = 0
        self.strings: Forgotten = Forgotten()
        self.fields: Forgotten = Forgotten()

    def learn_string(self, id: str, turn: int) -> None:
        """The record was made a string after that turn."""
        if self.strings.is_since(id, turn):
            return
        strings = self._strings
        if id not in strings and len(strings) >= KNOWN_MAX:
            del strings[next(iter(strings))]
        strings[id] = self._now_ns() + KNOWN_NS

    def learn_field(self, id: str, field: bytes, turn: int) -> None:
        """The record was seen, after that turn, to be a hash that has the field; neither expires."""
        if self.fields.is_since(id, turn):
            return
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
        self.strings.note(id)
        self._strings.pop(id, None)

    def forget_fields(self, id: str) -> None:
        """The record's fields may have gone, or expire."""
        self.fields.note(id)
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
