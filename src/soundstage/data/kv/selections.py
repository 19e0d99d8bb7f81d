"""How much a request wants: checked, and counted down while its page is filled."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import INT64_MAX
from soundstage.data.kv.api import Item, Selection
from soundstage.data.kv.items import item_of
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.pagination import Patience, RowEstimate
from soundstage.engines.records.port import Budget, Cell, Row

EVERYTHING = Selection()

ROOMY = INT64_MAX
"""Room for anything."""

ROWS_AT_ONCE = 512
"""Rows made into items before others are let run; about half a millisecond."""

NO_VALUES = -1
"""As the greatest size of a value that is returned."""

_LEAST = {"page_size_bytes": 1, "item_limit": 1, "max_value_bytes": 0}


def checked_selection(selection: Selection | None) -> Selection:
    """`selection`, or the one that says nothing. Raises `InvalidArgument` for a limit that is none."""
    if selection is None:
        return EVERYTHING
    for name, least in _LEAST.items():
        limit = getattr(selection, name)
        if limit is not None and not least <= limit <= INT64_MAX:
            field = f"selection.{name}"
            raise InvalidArgument(f"{field} is {limit}", field=field, hint=f"use {least} to 2^63-1, or leave it out")
    return selection


class Large(NamedTuple):
    """Of a page, an item whose value is to come from its chunks, and what those before it weigh."""

    place: int
    before: int
    cell: Cell


class Shaped:
    """Items, what they weigh, and which of them lack a value that lies in chunks, as a selection wants it."""

    __slots__ = ("items", "large", "weight")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.weight: int = 0
        self.large: list[Large] = []


class Filling:
    """What still fits a page, or several in one reply.

    `bytes_left` counts keys, metadata and the values that are returned, as they are stored. `items_left` is
    what is left of the limit on items over all pages. `estimate` is of the rows of this walk.
    """

    __slots__ = ("_read_left", "_served", "_value_max", "bytes_left", "estimate", "items_left")

    def __init__(self, served: ServedNamespace, selection: Selection, estimate: RowEstimate) -> None:
        config = served.config
        self.bytes_left: int = min(selection.page_size_bytes or int(config.page_size_bytes), int(config.page_size_max))
        self.items_left = selection.item_limit
        self.estimate: RowEstimate = estimate
        self._served = served
        self._value_max = selection.max_value_bytes if selection.include_values else NO_VALUES
        # Where values are left out, a page of bytes takes more than its bytes to fill.
        self._read_left = None if self._value_max is None else max(int(config.read_bytes_max), self.bytes_left)

    @property
    def to_read(self) -> int:
        """How many bytes of the store may be read to fill what is left."""
        return self.bytes_left if self._read_left is None else self._read_left

    def budget(self, size: int, deadline_ns: int | None) -> Budget:
        """A read of `size` bytes at most; of so many rows as the limit on items leaves."""
        config = self._served.config
        rows = config.rows_max if self.items_left is None else min(config.rows_max, self.items_left)
        likely = self.estimate.rows_for(size, config.rows_min, config.rows_max)
        return Budget(rows, max(1, size), deadline_ns, min(rows, likely))

    def has_read(self, rows: Sequence[Row], unused: int = 0) -> None:
        """The store returned `rows`, whether they are used or not, and `unused` bytes that nobody was given."""
        size = sum(map(len, chain.from_iterable(rows)))
        if self._read_left is not None:
            self._read_left -= size
        self._served.amplification.read += size + unused
        self.estimate.learn(len(rows), size)
        self._served.estimate.learn(len(rows), size)

    async def shape(self, rows: Sequence[Row], room: int, patience: Patience) -> Shaped:
        """The items of the first of `rows`, of as many as weigh `room` bytes at most."""
        shaped = Shaped()
        for first in range(0, len(rows), ROWS_AT_ONCE):
            if first:
                await patience.give_way()
            self._shape(rows[first : first + ROWS_AT_ONCE], room, shaped)
            if len(shaped.items) < first + ROWS_AT_ONCE:
                break
        return shaped

    def _shape(self, rows: Sequence[Row], room: int, shaped: Shaped) -> None:
        items, value_max, total = shaped.items, self._value_max, shaped.weight
        for key, cell in rows:
            item = item_of(key, cell, value_max)
            weight = len(key) + len(cell)
            large = False
            if item.value is None:
                size = item.metadata.size
                if size < len(cell):
                    weight -= size
                elif value_max is None or size <= value_max:
                    large = True
                    weight += size
            if total + weight > room:
                break
            if large:
                shaped.large.append(Large(len(items), total, cell))
            items.append(item)
            total += weight
        shaped.weight = total

    def put_in(self, items: int, weight: int) -> None:
        """So many items of that weight are in the reply."""
        self.bytes_left -= weight
        if self.items_left is not None:
            self.items_left -= items
        self._served.amplification.returned += weight
