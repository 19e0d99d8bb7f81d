"""Sorted pages, of an engine that sorts by one field and breaks ties in an order of its own.

The first documents by the first key are taken. All that share the last one's key, of whom some may be missing, are
asked for again by the other keys, down to the id, which no two share; the rest is whole and sorted here. So a page
takes as many searches as there are keys, and one more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cmp_to_key
from typing import Any, NamedTuple

from tantivy import DocAddress, Order, Searcher
from tantivy import Query as Asked

from soundstage.engines.search.documents import chosen
from soundstage.engines.search.evaluation import compare
from soundstage.engines.search.port import IndexSpec, Kind
from soundstage.engines.search.queries import Sort
from soundstage.engines.search.tantivy.asking import Asking, both, either
from soundstage.engines.search.tantivy.layout import BODY, ID, column, keyword
from soundstage.engines.search.tokens import Position


class Found(NamedTuple):
    """A document that was read."""

    address: DocAddress
    id: str
    body: bytes

    def size(self) -> int:
        """In bytes."""
        return len(self.body)


def read(searcher: Searcher, address: DocAddress) -> Found:
    """The document at an address of this searcher."""
    stored = searcher.doc(address)
    id, body = stored.get_first(ID), stored.get_first(BODY)
    return Found(address, keyword(str(id)), bytes(body) if body is not None else b"")


class Sorting:
    """One sorted page."""

    def __init__(self, searcher: Searcher, asking: Asking, spec: IndexSpec, sorts: Sequence[Sort]) -> None:
        self._searcher = searcher
        self._asking = asking
        self._spec = spec
        self._sorts = sorts

    def page(self, query: Asked, begin: Position | None, limit: int) -> list[tuple[Position, Found]]:
        """Up to `limit` documents behind `begin`, in their order."""
        if begin is not None:
            query = both(query, self._behind(begin, 0))
        return self._first(query, 0, limit)

    def position(self, found: Found) -> Position:
        """Where a document stands."""
        fields = chosen(found.body, [sort.field for sort in self._sorts])
        return [fields.get(sort.field) for sort in self._sorts], found.id

    def _first(self, query: Asked, level: int, limit: int) -> list[tuple[Position, Found]]:
        """The first of what matches, by the keys from `level` on."""
        if level == len(self._sorts):
            hits = self._searcher.search(query, limit, count=False, order_by_field=ID, order=Order.Asc).hits
            return self._in_order([address for _, address in hits])
        sort = self._sorts[level]
        order = Order.Desc if sort.descending else Order.Asc
        hits = self._searcher.search(query, limit, count=False, order_by_field=column(sort.field), order=order).hits
        if len(hits) < limit:
            return self._in_order([address for _, address in hits])
        last = hits[-1][0]
        whole = [address for value, address in hits if value != last]
        same = both(query, self._asking.equal(sort.field, self._value(sort.field, last)))
        return self._in_order(whole) + self._first(same, level + 1, limit - len(whole))

    def _behind(self, begin: Position, level: int) -> Asked:
        """What comes behind `begin` by the keys from `level` on, of what is the same by those before."""
        if level == len(self._sorts):
            return self._asking.ids_after(begin[1])
        sort, value = self._sorts[level], begin[0][level]
        same = both(self._asking.equal(sort.field, value), self._behind(begin, level + 1))
        if value is None:
            return same
        beyond = self._asking.beyond(sort.field, value, descending=sort.descending)
        return either(beyond, self._asking.equal(sort.field, None), same)

    def _in_order(self, addresses: Sequence[DocAddress]) -> list[tuple[Position, Found]]:
        def ordered(one: tuple[Position, Found], other: tuple[Position, Found]) -> int:
            return compare(one[0], other[0], self._sorts)

        documents = [read(self._searcher, address) for address in addresses]
        return sorted(((self.position(each), each) for each in documents), key=cmp_to_key(ordered))

    def _value(self, field: str, found: Any) -> Any:
        """A key that Tantivy sorted by, as our value."""
        return keyword(found) if self._spec.fields[field].kind is Kind.KEYWORD and found is not None else found
