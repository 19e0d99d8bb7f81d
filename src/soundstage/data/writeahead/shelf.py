"""What becomes of a set after a try: it was applied, it waits for another try, or it is dead."""

from __future__ import annotations

import logging

from soundstage.core.errors import PreconditionFailed
from soundstage.data.writeahead.applying import Outcome, is_passing, pause_us
from soundstage.data.writeahead.gates import Closed
from soundstage.data.writeahead.journal import Journal
from soundstage.data.writeahead.ledger import Known, Listed, Status, dead

log: logging.Logger = logging.getLogger("soundstage.writeahead")

OPEN_STATES = ("accepting", "accepted", "pending")


class Shelf:
    """Decides about the sets of one journal that were tried."""

    def __init__(self, journal: Journal) -> None:
        self._ledger = journal.ledger
        self._environment = journal.environment
        self._config = journal.config
        self._target = journal.target
        self._tally = journal.tally

    async def settle(self, mutation_id: str, encoded: bytes, known: Known, outcome: Outcome) -> None:
        """What `outcome` says of the set is in the ledger, unless others have decided about it meanwhile."""
        while True:
            try:
                await self._decide(mutation_id, encoded, known, outcome)
                return
            except PreconditionFailed:
                found = await self._ledger.find(mutation_id)
                if found is None or not _is_same(found.status, known.status):
                    return
                known = found

    async def put_off(self, mutation_id: str, encoded: bytes, known: Known, status: Status) -> None:
        """The set waits, as `status` says; what is to be applied is on its shelf."""
        if not known.status.pieces:
            pieces, checksum = await self._ledger.shelve(mutation_id, encoded)
            status = status.now("pending", pieces=pieces, checksum=checksum)
        await self._ledger.wait(mutation_id, status, known.stamp)
        self._tally.open(mutation_id, status.since_us, waits=True)

    async def _decide(self, mutation_id: str, encoded: bytes, known: Known, outcome: Outcome) -> None:
        error, now_us = outcome.error, self._environment.now_us()
        if error is None:
            await self._finish(mutation_id, known, outcome)
            return
        # What was not asked was not tried.
        tries = known.status.tries + (not isinstance(error, Closed))
        failed = known.status.now(
            "pending", applied=outcome.applied, tries=tries, problem=outcome.problem, place=outcome.place
        )
        if is_passing(error, failed, now_us, self._config):
            next_us = now_us + pause_us(error, failed, self._environment, self._config, self._tally.waiting)
            await self.put_off(mutation_id, encoded, known, failed.now("pending", next_us=next_us))
            self._tally.count("retries", tries - known.status.tries)
        else:
            await self._bury(mutation_id, encoded, known, failed.now("dead", next_us=now_us))
        self._tally.count("mutations", outcome.applied - known.status.applied)

    async def _finish(self, mutation_id: str, known: Known, outcome: Outcome) -> None:
        done = known.status.now("applied", applied=outcome.applied, problem=None, next_us=0)
        kept_us = self._config.status_kept.us
        await self._ledger.write(mutation_id, done, known.stamp, kept_us=kept_us, clear=True)
        self._tally.close(mutation_id)
        self._tally.count("applied")
        self._tally.count("mutations", outcome.applied - known.status.applied)

    async def _bury(self, mutation_id: str, encoded: bytes, known: Known, status: Status) -> None:
        kept_us = self._config.dead_kept.us
        pieces, checksum = await self._ledger.shelve(mutation_id, encoded, kept_us)
        status = status.now("dead", pieces=pieces, checksum=checksum)
        await self._ledger.enlist(dead(self._target), Listed(status.next_us, mutation_id), kept_us)
        await self._ledger.write(mutation_id, status, known.stamp, kept_us=kept_us)
        self._tally.close(mutation_id)
        self._tally.count("dead")
        reason = "" if status.problem is None else status.problem.detail
        log.error(
            "a set of mutations is dead",
            extra={"target": self._target, "mutation_id": mutation_id, "applied": status.applied, "reason": reason},
        )


def _is_same(found: Status, known: Status) -> bool:
    """Whether nobody has decided about the set: its acceptor has said that it is accepted."""
    return known.state == "accepting" and found.state == "accepted"
