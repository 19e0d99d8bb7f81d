"""Single items that were read lately, as replies hold them.

Half of what a read of one item costs is to find its row and to take that apart. Where the store says that a record
has not changed since, neither is done again; stores that cannot say so are asked every time.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from soundstage.core.message import IdempotencyToken
from soundstage.data.kv.api import Item
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.engines.records.port import Mark

Address: TypeAlias = tuple[ServedNamespace, str, bytes]
"""Namespace, id and key; one that was deleted and made again is another namespace."""

ENTRY_BYTES = 900
"""What CPython 3.11 takes for an entry besides id, key and value: measured, rounded up."""

SHARE = 16
"""An item that would take a larger part of the memory than one in so many is not kept."""


class HotItem(msgspec.Struct, frozen=True, gc=False):
    """What was found at an address, None for nothing; true while `mark` is current, and before `expires_us`.

    `stamp_us` is the time of `record_token`; `expires_us` is 0 for what does not expire.
    """

    mark: Mark
    item: Item | None
    record_token: IdempotencyToken | None
    stamp_us: int
    expires_us: int


class HotItems:
    """At most about `max_bytes` of them; what was not read for longest goes first, roughly.

    They are kept in two generations: the older one is dropped whole when the younger has half of the memory.
    """

    def __init__(self, max_bytes: int) -> None:
        self.found: int = 0
        self.missed: int = 0
        self._half_bytes = max_bytes // 2
        self._largest_bytes = max_bytes // SHARE
        self._young: dict[Address, HotItem] = {}
        self._old: dict[Address, HotItem] = {}
        self._bytes = 0

    def find(self, address: Address) -> HotItem | None:
        """What is at the address, unless that is not known; the caller looks at `expires_us`, and counts."""
        known = self._young.get(address)
        if known is None and (known := self._old.pop(address, None)) is not None and known.mark.current:
            self.keep(address, known)
        return known if known is not None and known.mark.current else None

    def keep(self, address: Address, hot: HotItem) -> None:
        """`hot` was read at the address."""
        size = _size(address, hot)
        before = self._young.pop(address, None)
        if before is not None:
            self._bytes -= _size(address, before)
        if size > self._largest_bytes:
            return
        self._young[address] = hot
        self._bytes += size
        if self._bytes > self._half_bytes:
            self._old, self._young, self._bytes = self._young, {}, 0

    def clear(self) -> None:
        """Nothing is kept."""
        self._young, self._old, self._bytes = {}, {}, 0


def _size(address: Address, hot: HotItem) -> int:
    # Text may take four bytes a character, and the item has a key of its own.
    size = ENTRY_BYTES + 4 * len(address[1]) + 2 * len(address[2])
    return size if hot.item is None or hot.item.value is None else size + len(hot.item.value)
