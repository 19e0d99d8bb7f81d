"""Finds dictionaries that no value needs any more, and drops them.

A dictionary that was retired is taken by no process after a while (`shelf`), and by no write of before a minute after
that. Then a walk over all values that finds none that names it means that there will be none, and it is `unneeded`. It
stays so for as long as somebody may still read what was overwritten or deleted before. Then a second walk goes before
it is dropped, for whoever brought back values with it meanwhile, as an import does that takes its dictionaries along,
and says so (`adopt`): what is said of a dictionary later than it was looked at wins.

Values that have expired and are not removed yet count, for clocks differ. Sets of mutations, which may wait for long,
name no dictionaries.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from soundstage.core.dictionaries import needs_dictionary
from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument
from soundstage.data.kv.chunks import ANY_TIME
from soundstage.data.kv.items import codec_of
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.shelf import FRESH_NS, TAKEN_US, Entry, Kept
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Budget
from soundstage.runtime.work.context import JobContext

SLACK_US = 900 * 1_000_000
"""Besides: for clocks of several servers that differ."""

SETTLED_US = TAKEN_US + FRESH_NS // 1_000 + IN_FLIGHT_MAX_US + SLACK_US
"""So long after a dictionary was retired there is no write under way that names it."""

RENEWED_US = SETTLED_US // 4
"""Who goes on to write with a dictionary that was retired says so as often."""

_PAGE = Budget(rows=2_000, bytes=1 << 20)


class Outcome(msgspec.Struct):
    """What became of the dictionaries that are not active, and how many items were looked at."""

    dropped: list[str] = []
    needed: list[str] = []
    waiting: list[str] = []
    items: int = 0


async def drop(served: ServedNamespace, environment: Environment, job: JobContext) -> Outcome:
    """Every dictionary that has been retired for long enough is a step nearer to be dropped, or kept for a value."""
    check_decided(served)
    await served.look(0)
    now_us, outcome = environment.now_us(), Outcome()
    idle = {codec: kept for codec, kept in served.shelf.kept.items() if kept.entry.state != "active"}
    due = {codec for codec, kept in idle.items() if now_us >= kept.entry.since_us + _rest_us(served, kept.entry)}
    outcome.waiting = sorted(set(idle) - due)
    if not due:
        return outcome
    await _say_again(served, {codec: idle[codec].entry for codec in due if idle[codec].entry.state == "unneeded"})
    before = served.shelf.kept
    outcome.needed = sorted(await _needed(served, due, outcome, job))
    job.check()
    await served.look(0)
    after = served.shelf.kept
    for codec in sorted(due):
        if codec not in after or codec not in before or not _is_same(idle[codec], before[codec], after[codec]):
            # Somebody said something of it meanwhile.
            outcome.waiting.append(codec)
            outcome.needed = [each for each in outcome.needed if each != codec]
            continue
        entry = before[codec].entry
        if codec in outcome.needed:
            if entry.state == "unneeded":
                await _put(served, {codec: _in_state(entry, "retired", environment)})
        elif entry.state == "retired":
            await _put(served, {codec: _in_state(entry, "unneeded", environment)})
            outcome.waiting.append(codec)
        else:
            await served.shelf.drop(served.view.records, served.values_table, codec, before[codec].cell)
            outcome.dropped.append(codec)
    await served.look(0)
    return outcome


async def adopt(served: ServedNamespace, environment: Environment, contents: Mapping[str, bytes]) -> None:
    """The namespace has these dictionaries, and none is dropped for a while: repeat it while values come with them.

    `Shelf.write` has it that the content goes with it, so that this wins over whoever is dropping one.
    """
    if not contents:
        return
    await served.look(0)
    now_us, kept = environment.now_us(), served.shelf.kept
    entries: dict[str, Entry] = {}
    for codec, content in contents.items():
        entry = kept[codec].entry if codec in kept else None
        if entry is None:
            entry = Entry(state="retired", size=len(content), samples=0, made_us=now_us, since_us=now_us)
        elif entry.state == "active" or (entry.state == "retired" and now_us < entry.since_us + RENEWED_US):
            continue
        entries[codec] = _in_state(entry, "retired", environment)
    # Each by itself, for all together may be more than one call takes.
    for codec, each in entries.items():
        await _put(served, {codec: each}, {codec: contents[codec]})
    if entries:
        await served.look(0)


def check_decided(served: ServedNamespace) -> None:
    """Raise `InvalidArgument` where nobody can say for sure that there is no value any more."""
    if not served.settled:
        raise InvalidArgument(
            f"a replica of {served.name!r} may have values that another has not: nobody can say what none needs",
            field="namespace",
            hint="it keeps its dictionaries; to drop some give it consistency strong and scope global, for a week",
        )


def _rest_us(served: ServedNamespace, entry: Entry) -> int:
    """How long a dictionary has to be as it is before it is looked at."""
    if entry.state == "retired":
        return SETTLED_US
    config = served.config
    read_us = max(config.chunk_grace.us, config.cache.ttl.us, config.watch_retention.us if config.watch else 0)
    return read_us + SLACK_US


async def _needed(served: ServedNamespace, due: Collection[str], outcome: Outcome, job: JobContext) -> set[str]:
    """Those of the dictionaries that a value names."""
    found: set[str] = set()
    position, walked = None, False
    while (not walked or position is not None) and len(found) < len(due):
        job.check()
        page = await served.view.records.walk(served.table, 0, 1, position, _PAGE, ANY_TIME)
        for _, rows in page.partitions:
            outcome.items += len(rows)
            for _, cell in rows:
                codec = codec_of(cell)
                if codec in due and needs_dictionary(codec):
                    assert codec is not None
                    found.add(codec)
        position, walked = page.position, True
        job.progress(outcome.items, None, "items", "looking")
    return found


async def _say_again(served: ServedNamespace, entries: Mapping[str, Entry]) -> None:
    """The entries are as they are, from now on: what is dropped is dropped as of then.

    So who follows the engine's changes by their time is told that it is gone. Before the walk, for what somebody said a
    moment ago is said no more then: whatever he wrote until now the walk finds, and what he writes later he tells anew.
    """
    if entries:
        await _put(served, entries)
        await served.look(0)


def _is_same(idle: Kept, before: Kept, after: Kept) -> bool:
    """Whether nobody else has said anything of a dictionary since it was first looked at."""
    return idle.entry == before.entry and before.cell == after.cell


async def _put(
    served: ServedNamespace, entries: Mapping[str, Entry], contents: Mapping[str, bytes] | None = None
) -> None:
    await served.shelf.write(served.view.records, served.values_table, served.clock, entries, contents)


def _in_state(entry: Entry, state: str, environment: Environment) -> Entry:
    return msgspec.structs.replace(entry, state=state, since_us=environment.now_us())
