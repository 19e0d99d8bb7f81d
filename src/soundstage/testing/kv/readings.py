"""Reads of the store, each held against what the model says it must show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from soundstage.core.errors import Unavailable
from soundstage.core.message import IdempotencyToken
from soundstage.data.kv import api
from soundstage.testing.kv.drift import Drift
from soundstage.testing.kv.store import FIRST_KNOBS, Store
from soundstage.testing.kv.writes import KEYS, token_at
from soundstage.testing.model import Model, Version

PAGES_MAX = 1_000
PAGE_SIZES = (None, 1, 60, 200, 1_000)
CELL_BYTES = 22
"""What a stored item weighs besides its key, token and value."""


class Divergence(AssertionError):
    """The store answered otherwise than the model."""


class Readings:
    """Reads of one store, checked against one model. `newest_us` is the greatest time that the store must go past."""

    def __init__(self, store: Store, model: Model, drift: Drift) -> None:
        self.store = store
        self.model = model
        self.drift = drift
        self.newest_us: int = 0

    async def record(self, name: str, chance: Random) -> None:
        """All pages of a record or of a part of it."""
        predicate, among = draw_predicate(chance)
        selection = draw_selection(chance, reverse=chance.random() < 0.5)
        found = self.model.items(name, self.store.now_us)
        wanted = _in_order([(key, found[key]) for key in found if among(key)], selection)
        stamp = self.model.stamp(name)
        request: dict[str, Any] = {"id": name, "predicate": predicate, "selection": selection}
        if stamp is not None and chance.random() < 0.2:
            request["min_version"] = token_at(*stamp)
        await self._pages(request, wanted, selection, token_at(*stamp) if stamp else None)

    async def kept(self, name: str, chance: Random) -> bool:
        """One page of what a cache may answer; whether it had both of what it takes for that."""
        keys: list[bytes] = chance.sample(KEYS, chance.choice((0, 1, 1, 2, 3)))
        found, stamp = self.model.items(name, self.store.now_us), self.model.stamp(name)
        predicate = api.Predicate(match_keys=api.MatchKeys(keys=keys)) if keys else None
        request: dict[str, Any] = {"id": name, "predicate": predicate}
        if stamp is not None and chance.random() < 0.2:
            request["min_version"] = token_at(*stamp)
        cache, wanted = self.store.cache, [(key, found[key]) for key in found if not keys or key in keys]
        before = 0 if cache is None else cache.statistics().hits
        await self._pages(request, wanted, api.Selection(), token_at(*stamp) if stamp else None)
        return cache is not None and cache.statistics().hits >= before + 2

    async def unreached(self, name: str) -> None:
        """A read that asks for more than the record has accepted."""
        stamp = self.model.stamp(name)
        beyond = token_at(self.store.now_us if stamp is None else stamp.time_us + 1, "beyond")
        try:
            await self.store.kv.get_items(id=name, min_version=beyond)
        except Unavailable:
            return
        raise Divergence(f"{name} was read at {beyond}, which it has not reached")

    async def batch(self, names: Sequence[str], chance: Random) -> None:
        """Pages of many records, and those that follow them."""
        predicate, among = draw_predicate(chance)
        selection = draw_selection(chance, reverse=chance.random() < 0.5)
        asked = [*chance.sample(names, chance.randint(1, len(names))), "unknown"]
        reply = await self.store.kv.batch_get_items(ids=asked, predicate=predicate, selection=selection)
        _same([found.id for found in reply.records], asked, "ids of a batch")
        self._check_size([item for found in reply.records for item in found.items], selection)
        for found in reply.records:
            items = self.model.items(found.id, self.store.now_us)
            wanted = _in_order([(key, items[key]) for key in items if among(key)], selection)
            shown = _of_page(found.items, wanted, selection)
            request = {"id": found.id, "predicate": predicate, "selection": selection}
            if found.next_page_token is not None:
                request["page_token"] = found.next_page_token
                await self._pages(request, shown, selection, None)
            else:
                _same(shown, [], f"left of {found.id} after its last page")

    async def scan(self, chance: Random) -> None:
        """All segments together show every record with live items, once."""
        selection = draw_selection(chance, reverse=False)
        selection.item_limit = None
        segments, shown = chance.choice((1, 1, 2, 7)), dict[str, list[api.Item]]()
        for segment in range(segments):
            await self._segment(segment, segments, selection, shown)
        live = {str(name): self.model.items(name, self.store.now_us) for name in self.model.records}
        _same(sorted(shown), sorted(name for name, items in live.items() if items), "records of a scan")
        for name, items in shown.items():
            _same(_of_page(items, list(live[name].items()), selection), [], f"left of {name} after a scan")

    async def count(self, name: str, chance: Random) -> None:
        predicate, among = draw_predicate(chance)
        number = sum(map(among, self.model.items(name, self.store.now_us)))
        reply = await self.store.kv.count_items(id=name, predicate=predicate)
        limit: int = FIRST_KNOBS["count_limit"]
        if number <= limit:
            _same((reply.count, reply.exact), (number, True), f"count of {name}")
        elif reply.exact or not limit <= reply.count <= number:
            raise Divergence(f"{name} has {number} items, counted was {reply}")

    async def _segment(
        self, segment: int, segments: int, selection: api.Selection, shown: dict[str, list[api.Item]]
    ) -> None:
        page_token, last = None, None
        for _ in range(PAGES_MAX):
            reply = await self.store.kv.scan_items(
                segment=segment, total_segments=segments, selection=selection, page_token=page_token
            )
            self._check_size([item for found in reply.records for item in found.items], selection)
            for found in reply.records:
                if found.id in shown and found.id != last:
                    raise Divergence(f"a scan came to {found.id} twice")
                shown.setdefault(found.id, []).extend(found.items)
                last = found.id
            page_token = reply.next_page_token
            if page_token is None:
                return
        raise Divergence("a scan does not end")

    async def _pages(
        self,
        request: dict[str, Any],
        wanted: list[tuple[bytes, Version]],
        selection: api.Selection,
        stamp: IdempotencyToken | None,
    ) -> None:
        first = "page_token" not in request
        for _ in range(PAGES_MAX):
            reply = await self.store.kv.get_items(**request)
            _same(reply.record_token, stamp if first else None, f"record token of {request['id']}")
            if reply.record_token is not None:
                self.saw(reply.record_token)
            self._check_size(reply.items, selection)
            wanted = _of_page(reply.items, wanted, selection)
            if reply.next_page_token is None:
                _same(wanted, [], f"left of {request['id']} after its last page")
                return
            request, first = {**request, "page_token": reply.next_page_token}, False
        raise Divergence(f"the pages of {request['id']} do not end")

    def saw(self, token: IdempotencyToken) -> None:
        """A reply showed `token`. What lies too far ahead no clock believes."""
        time_us = token.generation_time // 1_000
        if time_us <= self.store.now_us + self.drift.future_us:
            self.newest_us = max(self.newest_us, time_us)

    def _check_size(self, items: Sequence[api.Item], selection: api.Selection) -> None:
        limit = 1_024 if selection.page_size_bytes is None else selection.page_size_bytes
        size = sum(map(_weight, items))
        if size > limit and len(items) > 1:
            raise Divergence(f"a page of {limit} bytes holds {len(items)} items of {size} bytes")


def draw_predicate(chance: Random) -> tuple[api.Predicate | None, Callable[[bytes], bool]]:
    """A predicate, and which keys it is about."""
    draw = chance.random()
    if draw < 0.3:
        return chance.choice((None, api.Predicate(match_all=api.MatchAll()))), set(KEYS).__contains__
    if draw < 0.6:
        keys: list[bytes] = chance.sample(KEYS, chance.randint(0, len(KEYS)))
        return api.Predicate(match_keys=api.MatchKeys(keys=keys)), set(keys).__contains__
    low, high = sorted((chance.choice(KEYS), chance.choice(KEYS)))
    start, end = chance.choice((None, low)), chance.choice((None, high))
    from_start, to_end = chance.random() < 0.5, chance.random() < 0.5
    match = api.MatchRange(start=start, end=end, start_inclusive=from_start, end_inclusive=to_end)

    def among(key: bytes) -> bool:
        above = start is None or key > start or (from_start and key == start)
        return above and (end is None or key < end or (to_end and key == end))

    return api.Predicate(match_range=match), among


def draw_selection(chance: Random, *, reverse: bool) -> api.Selection:
    return api.Selection(
        page_size_bytes=chance.choice(PAGE_SIZES),
        item_limit=chance.choice((None, None, 1, 2, 3)),
        reverse=reverse,
        include_values=chance.random() < 0.8,
        max_value_bytes=chance.choice((None, None, 0, 1)),
    )


def _in_order(items: list[tuple[bytes, Version]], selection: api.Selection) -> list[tuple[bytes, Version]]:
    if selection.reverse:
        items = items[::-1]
    return items[: selection.item_limit]


def _of_page(
    items: Sequence[api.Item], wanted: list[tuple[bytes, Version]], selection: api.Selection
) -> list[tuple[bytes, Version]]:
    """What is left of `wanted` after a page that must begin with it."""
    for item, (key, version) in zip(items, wanted, strict=False):
        metadata = item.metadata
        _same(item.key, key, "key")
        _same(metadata.token, token_at(version.time_us, version.token), f"token of {key!r}")
        _same(metadata.size, len(version.value), f"size of {key!r}")
        expires_us = None if metadata.expires_at is None else metadata.expires_at // 1_000
        _same(expires_us, version.expires_us or None, f"expiry of {key!r}")
        value = version.value if _is_included(version, selection) else None
        _same(item.value, value, f"value of {key!r}")
    if len(items) > len(wanted):
        raise Divergence(f"nobody asked for {[item.key for item in items[len(wanted) :]]}")
    return wanted[len(items) :]


def _is_included(version: Version, selection: api.Selection) -> bool:
    fits = selection.max_value_bytes is None or len(version.value) <= selection.max_value_bytes
    return selection.include_values and fits


def _weight(item: api.Item) -> int:
    return CELL_BYTES + len(item.key) + len(item.metadata.token.token) + len(item.value or b"")


def _same(shown: object, wanted: object, what: str) -> None:
    if shown != wanted:
        raise Divergence(f"{what}: the store says {shown!r}, the model {wanted!r}")
