"""Walks over all records, judged when they have ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from soundstage.data.kv import api
from soundstage.testing.simulation.kv.judge import Moment, Seen
from soundstage.testing.simulation.kv.reading import PAGES_MAX, seen_of
from soundstage.testing.simulation.kv.scene import Scene, Watch
from soundstage.testing.simulation.kv.steps import KEYS, KeyValueStep
from soundstage.testing.simulation.scenario import Divergence


class _Part(NamedTuple):
    """What one page shows of one record. `opens` and `ends`: nothing of the record lies before, or after, it."""

    record: str
    seen: dict[bytes, Seen]
    moment: Moment
    opens: bool
    ends: bool


class Scanner:
    """Walks over the namespace and has the judge explain what it sees."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    async def scan(self, step: KeyValueStep) -> None:
        """Every segment is walked to its end, or until the limit on items: each record is met once, and whole."""
        scene = self._scene
        whole, watches = scene.watch(), list[Watch]()
        parts: list[_Part] = []
        complete = True
        try:
            for segment in range(step.segments):
                complete &= await self._segment(step, segment, parts, watches)
            everything = scene.moment(whole)
            self._judge(parts, everything, complete=complete)
        finally:
            for watch in (*watches, whole):
                scene.close(watch, *scene.history.records)

    async def _segment(self, step: KeyValueStep, segment: int, parts: list[_Part], watches: list[Watch]) -> bool:
        """Whether the segment was walked to its end."""
        scene, page_token, left = self._scene, None, step.item_limit
        selection = api.Selection(page_size_bytes=step.page_bytes, item_limit=left, include_values=step.include_values)
        for number in range(PAGES_MAX):
            watches.append(scene.watch())
            reply = await scene.ask(
                step,
                number,
                lambda kv, asked=page_token: kv.scan_items(
                    segment=segment, total_segments=step.segments, selection=selection, page_token=asked
                ),
            )
            page_token = reply.next_page_token
            if left is not None:
                left -= sum(len(record.items) for record in reply.records)
                if left < 0:
                    raise Divergence(f"a scan shows {-left} items more than its limit")
            last = page_token is None and left != 0
            parts += _parts(reply.records, scene.moment(watches[-1]), first=number == 0, last=last)
            if page_token is None:
                return last
        raise Divergence("a scan has pages without end")

    def _judge(self, parts: list[_Part], everything: Moment, *, complete: bool) -> None:
        self._check_order(parts)
        for record in {part.record: None for part in parts}:
            own = [part for part in parts if part.record == record]
            self._judge_record(record, own, everything, complete=complete)
        if complete:
            met = {part.record for part in parts}
            for record in [name for name in self._scene.history.records if name not in met]:
                for key in KEYS:
                    self._scene.judge.check(record, (key,), {}, everything)

    def _judge_record(self, record: str, parts: list[_Part], everything: Moment, *, complete: bool) -> None:
        judge, gaps, position = self._scene.judge, list[bytes](), 0
        for part in parts:
            places = [KEYS.index(key) for key in part.seen]
            first, end = (0 if part.opens else places[0]), (len(KEYS) if part.ends else places[-1] + 1)
            gaps += KEYS[position:first]
            judge.check(record, KEYS[first:end], part.seen, part.moment)
            position = end
        if complete:
            gaps += KEYS[position:]
        for key in gaps:
            judge.check(record, (key,), {}, everything)

    def _check_order(self, parts: list[_Part]) -> None:
        """Records come one after the other, their keys in order, and nothing comes twice."""
        done: set[str] = set()
        last_record, last_key = "", b""
        for part in parts:
            keys = list(part.seen)
            if part.record != last_record:
                if part.record in done:
                    raise Divergence(f"a scan came back to {part.record!r}")
                done.add(part.record)
            elif keys[0] <= last_key:
                raise Divergence(f"a scan shows {keys} of {part.record!r} after {last_key!r}")
            if keys != sorted(keys) or not set(keys) <= set(KEYS):
                raise Divergence(f"a scan shows the keys {keys} of {part.record!r}")
            last_record, last_key = part.record, keys[-1]


def _parts(records: Sequence[api.ScannedRecord], moment: Moment, *, first: bool, last: bool) -> list[_Part]:
    parts: list[_Part] = []
    for index, record in enumerate(records):
        seen = seen_of(record.items)
        if not seen or len(seen) != len(record.items):
            raise Divergence(f"a scan shows {record.id!r} with the keys {[item.key for item in record.items]}")
        opens, ends = index > 0 or first, index < len(records) - 1 or last
        parts.append(_Part(record.id, seen, moment, opens, ends))
    return parts
