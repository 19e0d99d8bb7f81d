"""One set, mutation by mutation, each of them durable before the next."""

from __future__ import annotations

import logging
from typing import NamedTuple

from soundstage.core.environment import Environment
from soundstage.core.errors import (
    DeadlineExceeded,
    Exhausted,
    InProgress,
    Internal,
    NotFound,
    SoundstageError,
    Unavailable,
)
from soundstage.data.writeahead.config import SystemConfig
from soundstage.data.writeahead.gates import Closed, Gates
from soundstage.data.writeahead.ledger import Problem, Status
from soundstage.data.writeahead.sets import AcceptedSet
from soundstage.data.writeahead.target import Target

log: logging.Logger = logging.getLogger("soundstage.writeahead")

PASSING = (Unavailable, DeadlineExceeded, Exhausted, InProgress)
"""Errors that time may mend."""

APART_US = 5_000
"""Sets whose place is closed come again about so far apart: each costs the ledger a few writes."""

UNKNOWN_TRIES = 5
"""So often what is not found is asked for again: a process learns of what others made after a moment."""


class Outcome(NamedTuple):
    """So many mutations were applied; `error` is why the next, which needs `place`, was not; None if none is left."""

    applied: int
    error: SoundstageError | None = None
    place: str = ""

    @property
    def problem(self) -> Problem | None:
        return None if self.error is None else Problem(self.error.code, self.error.detail)


class Hands(NamedTuple):
    """What sets are applied with: a target, the gates of its places, and how long each mutation may take."""

    target: Target
    gates: Gates
    environment: Environment

    async def apply(self, accepted: AcceptedSet, status: Status, timeout_s: float) -> Outcome:
        """The mutations that `status` says are left were applied, as far as they could be."""
        for index in range(status.applied, len(accepted.mutations)):
            token, place = f"{status.token}/{index}", ""
            try:
                place = self.target.place(accepted.mutations[index])
                await self._apply_one(accepted.mutations[index], place, status.time_us + index, token, timeout_s)
            except SoundstageError as error:
                return Outcome(index, error, place)
            except Exception as error:
                log.exception("a mutation failed by a defect", extra={"token": token})
                return Outcome(index, Internal(f"mutation {index} failed by a defect: {error!r}"))
        return Outcome(len(accepted.mutations))

    async def _apply_one(self, mutation: bytes, place: str, time_us: int, token: str, timeout_s: float) -> None:
        self.gates.enter(place, self.environment.now_us())
        try:
            deadline_ns = self.environment.monotonic_ns() + round(timeout_s * 1e9)
            await self.target.apply(mutation, time_us, token, deadline_ns)
        except PASSING as error:
            self.gates.failed(place, error, self.environment.now_us())
            raise
        except BaseException:
            self.gates.left(place)
            raise
        self.gates.passed(place)


def is_passing(error: SoundstageError, status: Status, now_us: int, config: SystemConfig) -> bool:
    """Whether a set that failed with `error`, the last of `status.tries`, is to be tried again."""
    if isinstance(error, Closed) and now_us - status.since_us < config.retry_for.us:
        return True
    if isinstance(error, NotFound):
        return status.tries < UNKNOWN_TRIES
    within_bounds = status.tries < config.tries_max and now_us - status.since_us < config.retry_for.us
    return isinstance(error, PASSING) and within_bounds


def pause_us(
    error: SoundstageError, status: Status, environment: Environment, config: SystemConfig, crowd: int = 0
) -> int:
    """How long a set waits that failed with `error`: half to all of a time that doubles with each failure.

    One whose place is closed waits until that is open, and then so that a `crowd` of them does not come at once.
    """
    if isinstance(error, Closed):
        open_us = max(0, error.until_us - environment.now_us())
        return open_us + round(environment.random.uniform(0, max(config.retry_min.us, crowd * APART_US)))
    ceiling_us = min(config.retry_max.us, config.retry_min.us * 2 ** min(status.tries - 1, 32))
    return round(environment.random.uniform(ceiling_us / 2, ceiling_us)) + (error.retry_after_ms or 0) * 1_000
