"""Finds runs of segments that are nobody's: who made one lost its lease when its slice was dropped, or died then."""

from __future__ import annotations

import logging
from collections.abc import Callable

from soundstage.data.timeseries.compaction.compactor import clear_run, prefix_of
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.engines.blobs.port import LIST_MAX, Blobs

log: logging.Logger = logging.getLogger("soundstage.timeseries")

OLD_US = 3_600 * 1_000_000
"""Of the youngest file of a run that no slice names, before it is removed: whoever wrote it is at it no more."""

BEHIND = "0"
"""What comes right behind the slash in the order of keys."""


async def sweep(served: ServedNamespace, blobs: Blobs, now_us: int, check: Callable[[], None]) -> int:
    """No run of the namespace is on the engine that no slice names, but young ones; how many were removed.

    A run is noted before its first file is written, and named until its last is gone, so what is listed before the
    slices are looked at and has no name then has none ever. To repeat it is safe.
    """
    prefix = prefix_of(served)
    found, after = dict[str, int](), ""
    while listed := await blobs.list(prefix, after, LIST_MAX):
        for each in listed:
            run = prefix + each.key.removeprefix(prefix).partition("/")[0]
            found[run] = max(found.get(run, 0), each.created_us)
            after = f"{run}{BEHIND}"
        check()
    if not found:
        return 0
    await served.catalogue.refresh()
    named = served.catalogue.runs
    # Slices that this one never heard of are of others, whatever they have.
    gone = [
        run
        for run, youngest_us in found.items()
        if run not in named and youngest_us <= now_us - OLD_US and 0 < _slice(run, prefix) <= served.catalogue.numbers
    ]
    for run in gone:
        check()
        await clear_run(blobs, run)
        log.warning("segments that no time slice names were removed", extra={"namespace": served.name, "run": run})
    return len(gone)


def _slice(run: str, prefix: str) -> int:
    """The number of the slice that a run was made of; 0 for what is no run."""
    number = run.removeprefix(prefix).partition("-")[0]
    return int(number) if number.isascii() and number.isdecimal() else 0
