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
from soundstage.data.writeahead.ledger import Problem, Status
from soundstage.data.writeahead.sets import AcceptedSet
from soundstage.data.writeahead.target import Target

log: logging.Logger = logging.getLogger("soundstage.writeahead")

PASSING = (Unavailable, DeadlineExceeded, Exhausted, InProgress)
"""Errors that time may mend."""

UNKNOWN_TRIES = 5
"""So often what is not found is asked for again: a process learns of what others made after a moment."""


class Outcome(NamedTuple):
    """So many mutations were applied; `error` is why the next was not, None where there is none left."""

    applied: int
    error: SoundstageError | None = None

    @property
    def problem(self) -> Problem | None:
        return None if self.error is None else Problem(self.error.code, self.error.detail)


async def apply(
    target: Target, accepted: AcceptedSet, status: Status, environment: Environment, timeout_s: float
) -> Outcome:
    """The mutations that `status` says are left were applied, as far as they could be."""
    for index in range(status.applied, len(accepted.mutations)):
        deadline_ns = environment.monotonic_ns() + round(timeout_s * 1e9)
        token = f"{status.token}/{index}"
        try:
            await target.apply(accepted.mutations[index], status.time_us + index, token, deadline_ns)
        except SoundstageError as error:
            return Outcome(index, error)
        except Exception as error:
            log.exception("a mutation failed by a defect", extra={"token": token})
            return Outcome(index, Internal(f"mutation {index} failed by a defect: {error!r}"))
    return Outcome(len(accepted.mutations))


def is_passing(error: SoundstageError, status: Status, now_us: int, config: SystemConfig) -> bool:
    """Whether a set that failed with `error`, the last of `status.tries`, is to be tried again."""
    if isinstance(error, NotFound):
        return status.tries < UNKNOWN_TRIES
    within_bounds = status.tries < config.tries_max and now_us - status.since_us < config.retry_for.us
    return isinstance(error, PASSING) and within_bounds


def pause_us(error: SoundstageError, status: Status, environment: Environment, config: SystemConfig) -> int:
    """How long a set waits that failed with `error`: half to all of a time that doubles with each failure."""
    ceiling_us = min(config.retry_max.us, config.retry_min.us * 2 ** min(status.tries - 1, 32))
    return round(environment.random.uniform(ceiling_us / 2, ceiling_us)) + (error.retry_after_ms or 0) * 1_000
