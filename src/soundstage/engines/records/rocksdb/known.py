"""The headers of the partitions last used, of all tables together, within a budget of memory."""

from __future__ import annotations

from soundstage.engines.records.port import KEY_CEILING
from soundstage.engines.records.rocksdb.header import Header

_ENTRY_BYTES = 200
_HEADER_BYTES = 240
_RANGE_BYTES = 250
"""What CPython takes for one besides the bytes it holds, measured on 3.11."""


class KnownHeaders:
    """`found` maps the prefix of a partition to its header, None for one never written.

    The process is the only writer, so what is known stays true. The oldest entries go first; `bytes` is an estimate.
    """

    def __init__(self, max_bytes: int) -> None:
        self.found: dict[bytes, Header | None] = {}
        self.bytes = 0
        self._max_bytes = max_bytes

    def remember(self, prefix: bytes, header: Header | None) -> None:
        """`header` is that of the partition from now on."""
        found = self.found
        if prefix in found:
            self.bytes += _weight(header) - _weight(found[prefix])
        else:
            self.bytes += _ENTRY_BYTES + len(prefix) + _weight(header)
        found[prefix] = header
        while self.bytes > self._max_bytes and found:
            oldest = next(iter(found))
            self.bytes -= _ENTRY_BYTES + len(oldest) + _weight(found.pop(oldest))

    def clear(self) -> None:
        """Nothing is known."""
        self.found.clear()
        self.bytes = 0


def _weight(header: Header | None) -> int:
    if header is None:
        return 0
    low = header.low
    weight = _HEADER_BYTES + len(header.newest) + len(header.high) + (0 if low is KEY_CEILING else len(low))
    if header.covered:
        weight += len(header.partition or b"")
        for start, end, cell in header.ranges:
            weight += _RANGE_BYTES + len(start) + len(end or b"") + len(cell)
    return weight
