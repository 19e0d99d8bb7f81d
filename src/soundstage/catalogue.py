"""One literal line per system. Code loads on first use, so listing stays cheap however many there are.

Third parties add theirs by the entry-point group `soundstage.systems`, whose values are `System` objects.
"""

from __future__ import annotations

from soundstage.core.system import System

SYSTEMS: tuple[System, ...] = (
    System(
        "namespaces",
        "soundstage.runtime.namespaces",
        "Create, change and list namespaces, the units of configuration and isolation",
        stability="beta",
    ),
    System(
        "tokens",
        "soundstage.runtime.tokens",
        "Create, list and revoke the access tokens of callers from outside",
        stability="beta",
    ),
    System(
        "jobs",
        "soundstage.runtime.jobs",
        "List, watch and cancel jobs: work that outlives the call that started it",
        stability="beta",
    ),
    System(
        "backups",
        "soundstage.runtime.backups",
        "Make, list and delete backups of the stage while it is served",
        stability="beta",
        simulated=False,
    ),
    System(
        "kv",
        "soundstage.data.kv",
        "Two-level map of id to sorted keys to values, with idempotent writes and byte-sized pages",
        number=47,
        stability="beta",
        uses=("writeahead", "namespaces"),
        doors=("resp",),
    ),
    System(
        "writeahead",
        "soundstage.data.writeahead",
        "Sets of mutations, accepted at once and applied in order whatever crashes; dead letters",
        stability="beta",
    ),
    System(
        "timeseries",
        "soundstage.data.timeseries",
        "Events of many ids in the order of time, written once, kept in slices that are dropped whole",
        number=46,
    ),
)
