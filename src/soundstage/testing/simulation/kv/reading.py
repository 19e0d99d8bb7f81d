"""Reads of one record: its pages one after the other, counts, and pages of many records at once."""

from __future__ import annotations

from collections.abc import Sequence

from soundstage.core.message import IdempotencyToken
from soundstage.data.kv import api
from soundstage.testing.simulation.kv.history import ORIGIN
from soundstage.testing.simulation.kv.judge import UNSEEN, Moment, Seen, Stamp, is_live
from soundstage.testing.simulation.kv.scene import Scene, Watch, time_of, token_at
from soundstage.testing.simulation.kv.steps import KEYS, RECORDS, KeyValueStep
from soundstage.testing.simulation.kv.worlds import Worlds
from soundstage.testing.simulation.kv.writing import keys_predicate, range_of
from soundstage.testing.simulation.scenario import Divergence

PAGES_MAX = 500


def seen_of(items: Sequence[api.Item]) -> dict[bytes, Seen]:
    """The items of a reply, in its order."""
    return {
        item.key: Seen(
            time_of(item.metadata.token),
            item.metadata.token.token,
            0 if item.metadata.expires_at is None else int(item.metadata.expires_at) // 1_000,
            item.metadata.size,
            item.value,
        )
        for item in items
    }


def stamp_of(token: IdempotencyToken | None) -> Stamp | None:
    """The record's token in a reply."""
    return None if token is None else Stamp(time_of(token), token.token)


def selection_of(step: KeyValueStep, *, reverse: bool | None = None) -> api.Selection:
    """How much the step wants of each page."""
    return api.Selection(
        page_size_bytes=step.page_bytes,
        item_limit=step.item_limit,
        include_values=step.include_values,
        reverse=step.reverse if reverse is None else reverse,
    )


def asked_of(step: KeyValueStep) -> tuple[api.Predicate | None, Sequence[bytes]]:
    """What the step asks for, and the keys of all that are ever written that match."""
    match step.choice % 3:
        case 0:
            return keys_predicate(step.keys), step.keys
        case 1:
            return range_of(step)
        case _:
            return None, KEYS


class Walk:
    """The pages of one record, judged as they come.

    A page covers the keys from its first item to its last. Those between the items of two pages may have been passed
    by either, so that they were absent at some moment from the beginning of the one to the end of the other.
    """

    def __init__(self, scene: Scene, record: str, keys: Sequence[bytes], selection: api.Selection) -> None:
        self._scene = scene
        self._record = record
        self._order = sorted(keys, reverse=bool(selection.reverse) != scene.descending)
        self._place = {key: index for index, key in enumerate(self._order)}
        self._left = selection.item_limit
        self._values = selection.include_values
        self._next = 0
        self._passed: tuple[Watch, Moment] | None = None

    def take(
        self, watch: Watch, items: Sequence[api.Item], following: str | None, stamp: Stamp | None = UNSEEN
    ) -> None:
        """The page that was asked for at `watch` has arrived; its watch is closed when the walk needs it no more."""
        scene, moment = self._scene, self._scene.moment(watch)
        seen = seen_of(items)
        self._check_form(items, seen)
        places = [self._place[key] for key in seen]
        ends = following is None and (self._left is None or self._left > 0)
        first = places[0] if places else len(self._order) if ends else self._next
        if self._passed is None:
            first = 0 if places or ends else self._next
        else:
            self._check_gap(self._order[self._next : first], moment)
        end = len(self._order) if ends else (places[-1] + 1 if places else self._next)
        covered = self._order[first:end] if ends or places else ()
        scene.judge.check(self._record, covered, seen, moment, stamp)
        self._let_go(watch, moment, keep=following is not None, moved=bool(places))
        self._next = max(self._next, end)

    def close(self) -> None:
        """No further page is read."""
        if self._passed is not None:
            self._scene.close(self._passed[0], self._record)
            self._passed = None

    def _check_form(self, items: Sequence[api.Item], seen: dict[bytes, Seen]) -> None:
        name = self._record
        if len(seen) != len(items):
            raise Divergence(f"record {name!r} shows a key twice in one page: {[item.key for item in items]}")
        if stray := [key for key in seen if key not in self._place]:
            raise Divergence(f"record {name!r} shows {stray}, which was not asked for")
        places = [self._place[key] for key in seen]
        if places != sorted(places) or (places and places[0] < self._next):
            raise Divergence(f"record {name!r} shows {list(seen)} out of order, after {self._order[: self._next]}")
        if not self._values and any(each.value is not None for each in seen.values()):
            raise Divergence(f"record {name!r} shows values that were not asked for")
        if self._values and any(each.value is None for each in seen.values()):
            raise Divergence(f"record {name!r} leaves out values")
        if self._left is not None:
            self._left -= len(items)
            if self._left < 0:
                raise Divergence(f"record {name!r} shows {-self._left} items more than the limit")

    def _check_gap(self, keys: Sequence[bytes], moment: Moment) -> None:
        assert self._passed is not None
        earlier = self._passed[1]
        either = Moment(
            earlier.began,
            moment.ended,
            min(earlier.least_us, moment.least_us),
            max(earlier.most_us, moment.most_us),
        )
        for key in keys:
            self._scene.judge.check(self._record, (key,), {}, either)

    def _let_go(self, watch: Watch, moment: Moment, *, keep: bool, moved: bool) -> None:
        """Keep the watch of the page that the next gap begins in."""
        if self._passed is not None and not moved and keep:
            self._scene.close(watch, self._record)
            return
        self.close()
        if keep:
            self._passed = watch, moment
        else:
            self._scene.close(watch, self._record)


class Reader:
    """Reads records and has the judge explain what it sees."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    async def read(
        self,
        step: KeyValueStep,
        record: str,
        predicate: api.Predicate | None,
        keys: Sequence[bytes],
        selection: api.Selection | None,
        *,
        pages: int = PAGES_MAX,
        page_token: str | None = None,
        walk: Walk | None = None,
    ) -> dict[bytes, Seen]:
        """What up to so many pages of `record` show, judged; they begin, or go on, with `page_token`."""
        scene, shown = self._scene, dict[bytes, Seen]()
        walk = walk or Walk(scene, record, keys, selection or api.Selection())
        least = None if page_token is not None else self._least(step, record)
        try:
            for number in range(pages):
                watch = scene.watch()
                asked = page_token
                reply = await scene.ask(
                    step,
                    number,
                    lambda kv, asked=asked: kv.get_items(
                        id=record,
                        predicate=predicate,
                        selection=selection,
                        page_token=asked,
                        min_version=least,
                    ),
                )
                stamp = stamp_of(reply.record_token) if asked is None else UNSEEN
                walk.take(watch, reply.items, reply.next_page_token, stamp)
                shown |= seen_of(reply.items)
                page_token = reply.next_page_token
                if page_token is None:
                    break
        finally:
            walk.close()
        if pages == PAGES_MAX and page_token is not None:
            raise Divergence(f"record {record!r} has pages without end")
        return shown

    async def read_all(self, step: KeyValueStep, record: str) -> dict[bytes, Seen]:
        """Every item of `record` is judged, in pages as large as they come; returns them."""
        return await self.read(step, record, None, KEYS, None)

    async def get(self, step: KeyValueStep) -> None:
        """The first page of what the step asks for."""
        predicate, keys = asked_of(step)
        selection = None if len(step.keys) == 1 else selection_of(step)
        await self.read(step, step.record, predicate, keys, selection, pages=1)

    async def walk(self, step: KeyValueStep) -> None:
        """All pages of what the step asks for."""
        predicate, keys = asked_of(step)
        await self.read(step, step.record, predicate, keys, selection_of(step))

    async def count(self, step: KeyValueStep) -> None:
        """The number of items is one that the record may have had."""
        scene, watch = self._scene, self._scene.watch()
        predicate, keys = asked_of(step)
        reply = await scene.ask(step, 0, lambda kv: kv.count_items(id=step.record, predicate=predicate))
        moment = scene.moment(watch)
        worlds = Worlds(scene.history.record(step.record), moment.began, moment.ended)
        least, most = _bounds(worlds, keys, moment)
        if reply.count > most or (reply.exact and reply.count < least):
            raise Divergence(f"record {step.record!r} counts {reply.count} items, not {least} to {most}")
        scene.close(watch, step.record)

    async def batch_get(self, step: KeyValueStep) -> None:
        """A page of every record, and the rest of each."""
        scene, watch = self._scene, self._scene.watch()
        predicate, keys = asked_of(step)
        selection = selection_of(step)
        ids = [*RECORDS, "nobody"]
        reply = await scene.ask(
            step, 0, lambda kv: kv.batch_get_items(ids=ids, predicate=predicate, selection=selection)
        )
        if [record.id for record in reply.records] != ids:
            raise Divergence(f"a batch shows the records {[record.id for record in reply.records]}, not {ids}")
        walks = [Walk(scene, record.id, keys, selection) for record in reply.records]
        for record, walk in zip(reply.records, walks, strict=True):
            walk.take(scene.same(watch), record.items, record.next_page_token)
        scene.close(watch)
        for record, walk in zip(reply.records, walks, strict=True):
            if record.next_page_token is None:
                continue
            if step.choice % 2:
                walk.close()
                continue
            await self.read(step, record.id, predicate, keys, selection, page_token=record.next_page_token, walk=walk)

    def _least(self, step: KeyValueStep, record: str) -> IdempotencyToken | None:
        """Now and then, a version that the record is known to have reached."""
        if step.choice % 5:
            return None
        newest = self._scene.history.record(record).newest
        return None if newest is ORIGIN else token_at(newest.time_us, newest.token)


def _bounds(worlds: Worlds, keys: Sequence[bytes], moment: Moment) -> tuple[int, int]:
    """The least and the greatest number of items that may have been live."""
    if not worlds.exact:
        options = [worlds.options(key) for key in keys]
        least = sum(all(is_live(each, moment.most_us) for each in found) for found in options)
        return least, sum(any(is_live(each, moment.least_us) for each in found) for found in options)
    counts = [
        sum(is_live(world.items.get(key, ORIGIN), now_us) for key in keys)
        for world in worlds.all
        for now_us in (moment.least_us, moment.most_us)
    ]
    return min(counts), max(counts)
