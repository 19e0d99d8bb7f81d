"""The headers of the partitions last used, of all tables together, within a budget of memory."""

from __future__ import annotations

from itertools import islice

from soundstage.engines.records.port import KEY_CEILING
from soundstage.engines.records.rocksdb.header import Header

_ENTRY_BYTES = 150
_HEADER_BYTES = 550
_RANGE_BYTES = 250
"""What CPython 3.11 takes for an entry, for one with a header, and for a range, besides keys: measured, rounded up."""


class KnownHeaders:
    """`found` maps the prefix of a partition to its header, None for one never written.

    The process is the only writer, so what is known stays true. The oldest entries go first; `bytes` is an estimate.
    What was remembered last stays, however large: readers take its mark, which somebody has to end.
    """

    def __init__(self, max_bytes: int) -> None:
        self.found: dict[bytes, Header | None] = {}
        self.bytes: int = 0
        self._max_bytes = max_bytes

    def remember(self, prefix: bytes, header: Header | None) -> None:
        """`header` is that of the partition from now on."""
        found = self.found
        old = found.get(prefix)
        if old is not None and old is not header and old.mark is not None:
            old.end_mark()
        if old is not None and header is not None:
            found[prefix] = header
            if len(header.high) == len(old.high) and header.low is old.low and header.ranges is old.ranges:
                return
            self.bytes += _weight(header) - _weight(old)
        else:
            self.bytes += _weight(header) - _weight(old) if prefix in found else len(prefix) + _weight(header)
            found[prefix] = header
        if self.bytes > self._max_bytes:
            self._forget_others(prefix)

    def clear(self) -> None:
        """Nothing is known."""
        for header in self.found.values():
            if header is not None:
                header.end_mark()
        self.found.clear()
        self.bytes = 0

    def _forget_others(self, kept: bytes) -> None:
        """The budget holds, or `kept` is all that is known."""
        found = self.found
        found[kept] = found.pop(kept)
        while self.bytes > self._max_bytes and len(found) > 1:
            # Many at once: a dictionary looks for its first entry past all that were deleted before it.
            for oldest in list(islice(found, min(len(found) - 1, 1 + len(found) // 8))):
                gone = found.pop(oldest)
                self.bytes -= len(oldest) + _weight(gone)
                if gone is not None:
                    # Its next write finds none to replace.
                    gone.end_mark()


def _weight(header: Header | None) -> int:
    if header is None:
        return _ENTRY_BYTES
    low = header.low
    weight = _HEADER_BYTES + len(header.high) + (0 if low is KEY_CEILING else len(low))
    for start, end, cell in header.ranges:
        weight += _RANGE_BYTES + len(start) + len(end or b"") + len(cell)
    return weight
