"""The write-ahead log: sets of mutations that are accepted at once and applied in their order, whatever crashes.

    status = await stage.client(WriteAhead).status(mutation_id=reply.mutation_id)

A system that offers such sets is a *target*: it checks mutations, submits them to its `Journal`, and has a role that
works the journal off by calling the target's `apply` with each mutation. Who uses a journal:

    journal = await open_journal(context, "kv")
    mutation_id = await journal.submit(Submission(token="…", time_us=…, mutations=[…]))
    await work_off(open, context.lease)

Messages and operations are in `api`, the knobs in `config`. Inside:

    target         what a system brings to have its mutations applied
    sets           one accepted set, as it is encoded
    pieces         sets as entries of the log: numbered pieces and a completion marker; and sets made of them again
    ledger         what is known of each set, and the lists of those that wait and of those that are dead
    room           how many wait, and whether one more may
    journal        acceptance: a row, one append, the answer
    gates          which places are not asked for a while, because they failed
    applying       one set, mutation by mutation
    shelf          sets that could not be applied: kept, tried again, buried
    worker         reads the log, applies, and says how far it got
    tally, service counts, and the operations

Data on disk: topics `writeahead/<target>`; table `system/writeahead` with a partition `set/<mutation_id>` for each set
(row `status`, and rows `piece/…` while it waits or is dead), and lists in `pending/<target>` and `dead/<target>`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from soundstage.data.writeahead.api import DeadSet, MutationStatus, SyncWriteAhead, WriteAhead
from soundstage.data.writeahead.target import Submission, Target, check_count

if TYPE_CHECKING:
    from soundstage.data.writeahead.journal import Journal
    from soundstage.data.writeahead.service import open_journal
    from soundstage.data.writeahead.worker import work_off

_HOMES = {"Journal": "journal", "open_journal": "service", "work_off": "worker"}
"""The modules of what stands on engines, which load when it is used."""

__all__ = [
    "DeadSet",
    "Journal",
    "MutationStatus",
    "Submission",
    "SyncWriteAhead",
    "Target",
    "WriteAhead",
    "check_count",
    "open_journal",
    "work_off",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
