"""What an engine on one machine knows of its blobs without looking: by key, in order, and by expiry."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import islice

from soundstage.engines.blobs.port import BlobInfo, Usage


class Index:
    """Keys in order with their blobs; some 300 bytes of memory each."""

    def __init__(self) -> None:
        self._by_key: dict[str, BlobInfo] = {}
        self._keys: list[str] = []
        self._expiring: list[tuple[int, str]] = []
        self._bytes = 0

    @classmethod
    def of(cls, infos: list[BlobInfo]) -> Index:
        """An index of blobs with keys of their own; cheaper than putting them one by one."""
        index = cls()
        index._by_key = {info.key: info for info in infos}
        index._keys = sorted(index._by_key)
        index._expiring = sorted((info.expires_us, info.key) for info in infos if info.expires_us)
        index._bytes = sum(info.size for info in infos)
        return index

    def find(self, key: str) -> BlobInfo | None:
        return self._by_key.get(key)

    def put(self, info: BlobInfo) -> None:
        """`info` replaces what was known of its key."""
        known = self._by_key.get(info.key)
        if known is None:
            insort(self._keys, info.key)
        else:
            self._forget(known)
        self._by_key[info.key] = info
        self._bytes += info.size
        if info.expires_us:
            insort(self._expiring, (info.expires_us, info.key))

    def remove(self, key: str) -> BlobInfo | None:
        """What was known of `key`, and is no more."""
        known = self._by_key.pop(key, None)
        if known is not None:
            del self._keys[bisect_left(self._keys, key)]
            self._forget(known)
        return known

    def listed(self, prefix: str, after: str, now_us: int, limit: int) -> list[BlobInfo]:
        """Up to `limit` blobs that are live, with the prefix, after the key, in order."""
        begin = max(bisect_left(self._keys, prefix), bisect_right(self._keys, after))
        found = (self._by_key[key] for key in _while_prefixed(self._keys, begin, prefix))
        return list(islice((info for info in found if info.is_live(now_us)), limit))

    def expired(self, now_us: int, limit: int) -> list[str]:
        """Up to `limit` keys of blobs that have expired, the longest ago first."""
        end = bisect_right(self._expiring, (now_us, "\U0010ffff"))
        return [key for _, key in self._expiring[: min(end, limit)]]

    @property
    def usage(self) -> Usage:
        return Usage(len(self._by_key), self._bytes)

    def _forget(self, known: BlobInfo) -> None:
        self._bytes -= known.size
        if known.expires_us:
            del self._expiring[bisect_left(self._expiring, (known.expires_us, known.key))]


def _while_prefixed(keys: list[str], begin: int, prefix: str) -> Iterator[str]:
    for position in range(begin, len(keys)):
        if not keys[position].startswith(prefix):
            return
        yield keys[position]
