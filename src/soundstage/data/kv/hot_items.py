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


SEEN_MAX = 1 << 16
"""Addresses that were read and not kept, of which one in so many places is remembered; a power of two."""


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

    They are kept in two generations: the older one is dropped whole when the younger has half of the memory. Once
    that has happened only what is read a second time is kept: to keep an item costs as much as to find it, in vain
    where many more are read than there is room for.
    """

    def __init__(self, max_bytes: int) -> None:
        self.found: int = 0
        self.missed: int = 0
        self._half_bytes = max_bytes // 2
        self._largest_bytes = max_bytes // SHARE
        self._young: dict[Address, HotItem] = {}
        self._old: dict[Address, HotItem] = {}
        self._bytes = 0
        self._full = False
        self._seen = bytearray(SEEN_MAX)

    def find(self, address: Address) -> HotItem | None:
        """What is at the address, unless that is not known; the caller looks at `expires_us`, and counts."""
        known = self._young.get(address)
        if known is None and (known := self._old.pop(address, None)) is not None and known.mark.current:
            self.keep(address, known)
        return known if known is not None and known.mark.current else None

    def admits(self, address: Address) -> bool:
        """Whether what was read at the address is to be kept: there is room for all, or it was read before, lately.

        Another one that looks like it is taken for it, once in 256 times.
        """
        if not self._full or address in self._young:
            return True
        looks = hash(address)
        place, mark = looks & (SEEN_MAX - 1), looks >> 32 & 0xFF
        if self._seen[place] == mark:
            return True
        self._seen[place] = mark
        return False

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
            self._full = True

    def clear(self) -> None:
        """Nothing is kept."""
        self._young, self._old, self._bytes = {}, {}, 0
        self._full = False


def _size(address: Address, hot: HotItem) -> int:
    # Text may take four bytes a character, and the item has a key of its own.
    size = ENTRY_BYTES + 4 * len(address[1]) + 2 * len(address[2])
    return size if hot.item is None or hot.item.value is None else size + len(hot.item.value)
