"""Which idempotency tokens the door takes.

A token too old would be a write that silently loses to what came after; one too far ahead would be a write
that nothing can replace or delete. So both are refused, once, when a write is accepted.

Purging forgets deletes older than `drift_past`. When that knob is raised from A to B at T, deletes older
than T - A are gone already, and a write from before them would bring dead items back: such writes stay
refused, until B reaches back no further than that. When it is lowered the door follows at once.
"""

from __future__ import annotations

from typing import NamedTuple

from soundstage.core.errors import DeadlineExceeded, SoundstageError, TokenDrift, Unavailable
from soundstage.core.limits import check_token
from soundstage.core.message import IdempotencyToken
from soundstage.core.time import Duration, Instant
from soundstage.engines.records.port import Stamp

OWN_AHEAD_US = 1_000_000
"""Besides twice `drift_future`: tokens made in a burst follow each other by a microsecond."""

_GENERATION_TIME = "idempotency_token.generation_time"


class DriftWindow(NamedTuple):
    """What token times are taken, in microseconds: from `now - past_us`, and never before `floor_us`."""

    past_us: int
    future_us: int
    floor_us: int = 0

    def admit(self, token: IdempotencyToken, now_us: int) -> int:
        """The token's time, floored to microseconds. Raises `TokenDrift`, or `InvalidArgument` for its text."""
        check_token(token.token)
        time_us = token.generation_time // 1_000
        if time_us > now_us + self.future_us:
            raise self._too_far_ahead(time_us - now_us)
        if time_us < now_us - self.past_us or time_us <= 0:
            raise self._too_old(now_us - time_us)
        if time_us < self.floor_us:
            raise self._before_the_raise(now_us - time_us)
        return time_us

    def check_still(self, time_us: int, now_us: int, slack_us: int) -> None:
        """Raise `DeadlineExceeded` when a token that was admitted is too old by now, for what came under it was slow.

        Deletes that must hide the write are remembered for a minute longer than tokens are taken, of which it may
        use `slack_us`.
        """
        if time_us < max(now_us - self.past_us - slack_us, self.floor_us):
            raise DeadlineExceeded(
                f"the value came so slowly that its token, {_seconds(now_us - time_us)} old, is too old by now",
                field=_GENERATION_TIME,
                hint="send it without a token, which is then made at the end, or raise the namespace's drift_past",
                outcome="not_applied",
                retryable=False,
            )

    def check_own(self, time_us: int, now_us: int) -> None:
        """Raise `Unavailable` when the time of a token made here lies too far ahead, for the clock was set back.

        What was written before is of that time. Later writes under it would hide those of everybody whose clock is
        right, and earlier ones would be hidden themselves. What was seen of others, which is up to `drift_future`
        ahead, is gone past, and so may be what was seen before that knob was lowered by half.
        """
        if time_us > now_us + 2 * self.future_us + OWN_AHEAD_US:
            ahead_us = time_us - now_us
            raise Unavailable(
                f"the clock of this server was set back: it made a token {_seconds(ahead_us)} ahead of it",
                hint="wait until it has caught up, or send an idempotency_token of a clock that is right",
                outcome="not_applied",
                retry_after_ms=min(max(1, (ahead_us - self.future_us) // 1_000), 60_000),
            )

    def raised(self, before: Duration, changed_us: int) -> DriftWindow:
        """This window when `drift_past` was `before` until `changed_us`."""
        if before.us >= self.past_us:
            return self
        return self._replace(floor_us=max(self.floor_us, changed_us - before.us))

    def _too_far_ahead(self, ahead_us: int) -> TokenDrift:
        return TokenDrift(
            f"the token was made {_seconds(ahead_us)} in the future; up to {Duration(self.future_us * 1_000)} is taken",
            field=_GENERATION_TIME,
            hint="set the caller's clock; the namespace's knob is drift_future",
        )

    def _too_old(self, age_us: int) -> TokenDrift:
        return TokenDrift(
            f"the token was made {_seconds(age_us)} ago; up to {Duration(self.past_us * 1_000)} is taken",
            field=_GENERATION_TIME,
            hint="a retry this late needs a read first, then a write of its own; the namespace's knob is drift_past",
        )

    def _before_the_raise(self, age_us: int) -> TokenDrift:
        return TokenDrift(
            f"the token was made {_seconds(age_us)} ago, when drift_past was shorter; deletes of then are forgotten",
            field=_GENERATION_TIME,
            hint="a raised drift_past reaches back fully only after the difference has passed; make a new token",
        )


def check_min_version(token: IdempotencyToken | None) -> None:
    """Raise `InvalidArgument` for a `min_version` that no write can have."""
    if token is not None:
        check_token(token.token, "min_version.token")


def check_reached(token: IdempotencyToken | None, stamp: Stamp | None) -> None:
    """Raise `Unavailable` unless a record at `stamp` has accepted a write of the time of `token`, or later.

    A store that answers for itself has every write that it acknowledged; what it lacks was sent elsewhere, or
    is still on its way.
    """
    if token is None or (stamp is not None and stamp.time_us >= token.generation_time // 1_000):
        return
    raise Unavailable(
        "the record has not reached min_version: no write of that time or later has been accepted",
        field="min_version",
        hint="repeat the read, for the write may be on its way; without min_version it shows what is there",
        outcome="not_applied",
    )


def tell_repeatable(error: SoundstageError, token: IdempotencyToken | None) -> None:
    """`error` says whether a write under that token of the caller's may be repeated.

    Without one, the repetition of what may have been applied would be another write.
    """
    if error.outcome == "not_applied":
        return
    error.retryable = token is not None
    if not error.retryable:
        error.hint = "send an idempotency_token to make writes safe to repeat; read before writing again"


def effective(token: IdempotencyToken, time_us: int) -> IdempotencyToken:
    """The token as it was applied: its time in whole microseconds."""
    applied_ns = time_us * 1_000
    return token if token.generation_time == applied_ns else IdempotencyToken(Instant(applied_ns), token.token)


def _seconds(us: int) -> str:
    return f"{us / 1e6:.3f} s"
