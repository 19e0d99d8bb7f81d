"""Writes: made, sent until it is known what became of them, and entered into the history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from soundstage.core.errors import (
    DeadlineExceeded,
    Exhausted,
    PreconditionFailed,
    SoundstageError,
    TokenDrift,
    TokenReused,
    Unavailable,
)
from soundstage.core.message import Duration, IdempotencyToken
from soundstage.data.kv import api
from soundstage.data.kv.items import metadata_of
from soundstage.data.kv.manifest import Manifest, digest_of
from soundstage.testing.model import DELETE, PUT, Version
from soundstage.testing.simulation.kv import conditions
from soundstage.testing.simulation.kv.history import ORIGIN, Write
from soundstage.testing.simulation.kv.judge import Moment
from soundstage.testing.simulation.kv.scene import (
    CHUNK_BYTES,
    CHUNK_THRESHOLD,
    DRIFT_FUTURE_US,
    DRIFT_PAST_US,
    TRIES_MAX,
    Scene,
    Sent,
    Watch,
    time_of,
)
from soundstage.testing.simulation.kv.steps import KEYS, KeyValueStep, Shape
from soundstage.testing.simulation.kv.worlds import Worlds
from soundstage.testing.simulation.scenario import Divergence

Fate: TypeAlias = Literal["acknowledged", "refused", "unknown"]
"""What the sender knows of a write in the end."""

LINGERING_MAX = 2
"""Writes to one record that may stay unknown; each doubles the worlds that every answer is held against."""


def put_of(
    record: str,
    keys: Sequence[bytes],
    value: bytes,
    ttl_us: int | None,
    token: IdempotencyToken,
    conditional: bool,
    streamed: bool = False,
) -> Sent:
    """A put of `value` under each of `keys`; as a stream, if it is `streamed` and of one item."""
    time_us = time_of(token)
    expires_us = 0 if ttl_us is None else time_us + ttl_us
    version = Version(time_us, PUT, token.token, expires_us, _metadata_of(value), value)
    write = Write(record, "put", token.token, time_us, dict.fromkeys(keys, version), conditional=conditional)
    ttl = None if ttl_us is None else Duration(ttl_us * 1_000)
    if streamed and len(keys) == 1:
        return Sent(write, {"id": record, "idempotency_token": token, "key": keys[0], "ttl": ttl}, value)
    items = [api.PutItem(key=key, value=value, ttl=ttl) for key in keys]
    return Sent(write, {"id": record, "idempotency_token": token, "items": items})


def delete_of(
    record: str, shape: Shape, predicate: api.Predicate, keys: Sequence[bytes], token: IdempotencyToken, cond: bool
) -> Sent:
    """A delete by `predicate`, which matches `keys` of all that are ever written."""
    time_us = time_of(token)
    sent = dict.fromkeys(keys, Version(time_us, DELETE, token.token))
    write = Write(record, shape, token.token, time_us, sent, conditional=cond)
    return Sent(write, {"id": record, "idempotency_token": token, "predicate": predicate})


def range_of(step: KeyValueStep) -> tuple[api.Predicate, list[bytes]]:
    """The range of the step, and the keys of all that are ever written that lie in it."""
    match = api.MatchRange(
        start=step.start, start_inclusive=step.start_inclusive, end=step.end, end_inclusive=step.end_inclusive
    )
    return api.Predicate(match_range=match), [key for key in KEYS if _lies_in(key, match)]


def _metadata_of(value: bytes) -> bytes:
    """What tells two values apart that lie in chunks: their digests, whatever uploads bring them."""
    if len(value) <= CHUNK_THRESHOLD:
        return b""
    return metadata_of(Manifest(digest_of(value), len(value), CHUNK_BYTES, b""))


def _lies_in(key: bytes, match: api.MatchRange) -> bool:
    after = match.start is None or key > match.start or (match.start_inclusive and key == match.start)
    before = match.end is None or key < match.end or (match.end_inclusive and key == match.end)
    return after and before


def keys_predicate(keys: Sequence[bytes]) -> api.Predicate:
    """Exactly these keys."""
    return api.Predicate(match_keys=api.MatchKeys(keys=list(keys)))


def deletion(step: KeyValueStep, record: str, token: IdempotencyToken, *, conditional: bool = False) -> Sent:
    """The delete that the step describes."""
    if step.shape == "marker":
        return delete_of(record, "marker", keys_predicate(step.keys), step.keys, token, conditional)
    if step.shape == "record":
        whole = api.Predicate(match_all=api.MatchAll())
        return delete_of(record, "record", whole, KEYS, token, conditional)
    predicate, keys = range_of(step)
    return delete_of(record, "range", predicate, keys, token, conditional)


def value_of(step: KeyValueStep, part: str = "") -> bytes:
    """A value that no other step writes."""
    return f"{step.number}{part}".encode().ljust(step.value_bytes, b".")


class Writer:
    """Sends writes and says what became of them."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._takes_parts = scene.site.climate.port.partial > 0

    async def send(self, step: KeyValueStep, sent: Sent, *, once: bool = False) -> Fate:
        """`sent` has been sent until its fate is known; with `once`, and where the step gives up, not again.

        Raises `Divergence` when the answers contradict what the record may have held.
        """
        scene, write = self._scene, sent.write
        if self._takes_parts and not write.conditional and len(write.sent) > 1 and write.shape in ("put", "marker"):
            write.sure_keys = {}
        if write.shape != "put":
            scene.shapes[write.token] = write.shape
        scene.history.begin(write)
        try:
            fate = await self._until_known(step, sent, once=once)
        finally:
            scene.history.close(write.begun, write.record)
        if fate == "acknowledged":
            scene.remember(sent)
        return fate

    async def _until_known(self, step: KeyValueStep, sent: Sent, *, once: bool) -> Fate:
        scene, write = self._scene, sent.write
        passage = scene.site.network.passage(write.token)
        began = Watch(write.begun, scene.site.environment.now_us(), scene.site.environment.clock_steps)
        for tried in range(TRIES_MAX):
            watch, sent_before, alone = scene.watch(), passage.sent, not passage.under_way
            uncertain_before = passage.uncertain
            try:
                reply = await self._invoke(step, sent, patient=once or tried > 2)
            except (Unavailable, DeadlineExceeded, Exhausted) as error:
                if alone and not uncertain_before:
                    self._check_outcome(write, error)
                if once or (step.gives_up and self._may_linger(write)):
                    return await self._let_be(step, write)
                await scene.pause(step)
            except (PreconditionFailed, TokenReused, TokenDrift) as refusal:
                # Only the answer to the one request there was says what became of the write.
                if alone and passage.sent == sent_before + 1 and not passage.under_way:
                    return self._refused(sent, refusal, scene.moment(watch), uncertain=passage.uncertain)
                await self._ended(step, write)
            else:
                self._acknowledge(sent, reply.idempotency_token, scene.moment(began))
                return "acknowledged"
            finally:
                scene.close(watch)
        raise Divergence(f"{write.token} was not answered in {TRIES_MAX} tries")

    async def repeat(self, step: KeyValueStep, sent: Sent, *, once: bool = False) -> None:
        """An acknowledged write was sent again: it was answered as before, or refused for its age; nothing else."""
        scene, write = self._scene, sent.write
        for tried in range(TRIES_MAX):
            watch = scene.watch()
            try:
                reply = await self._invoke(step, sent, patient=once or tried > 2)
            except TokenDrift as refusal:
                self._check_drift(write, scene.moment(watch), refusal)
                return
            except (Unavailable, DeadlineExceeded, Exhausted):
                if once:
                    await self._ended(step, write)
                    return
                await scene.pause(step)
            else:
                if time_of(reply.idempotency_token) != write.time_us:
                    raise Divergence(
                        f"{write.token} was answered with {reply.idempotency_token}, and with {write.time_us} before"
                    )
                return
            finally:
                scene.close(watch)
        raise Divergence(f"{write.token} was not answered again in {TRIES_MAX} tries")

    async def _invoke(self, step: KeyValueStep, sent: Sent, *, patient: bool) -> Any:
        kv = self._scene.kv(step, deadline_s=None if patient else step.deadline_s)
        if sent.source is not None:
            self._scene.site.note("streamed")
            return await kv.put_value(sent.source, **sent.request)
        invoke = kv.put_items if "items" in sent.request else kv.delete_items
        return await invoke(**sent.request)

    async def _ended(self, step: KeyValueStep, write: Write) -> None:
        """Every request under the write's token has come to its end."""
        passage = self._scene.site.network.passage(write.token)
        while passage.under_way:
            await self._scene.pause(step)

    async def _let_be(self, step: KeyValueStep, write: Write) -> Fate:
        await self._ended(step, write)
        if not self._scene.site.network.passage(write.token).uncertain:
            self._scene.history.record(write.record).drop(write)
            return "refused"
        write.over_at = self._scene.history.tick()
        self._scene.site.note("left_unknown")
        return "unknown"

    def _check_outcome(self, write: Write, error: SoundstageError) -> None:
        """What a caller is told was not applied, was not; unless a request was delivered twice, which nobody knows."""
        network = self._scene.site.network
        certain = not network.rates.twice and not self._scene.site.climate.network.twice
        if certain and error.outcome == "not_applied" and network.passage(write.token).uncertain:
            raise Divergence(
                f"{write.token} may have been applied, and its sender is told otherwise: {error!r}"
            ) from error

    def _may_linger(self, write: Write) -> bool:
        """Whether the record can bear another write of unknown fate."""
        recent = self._scene.history.record(write.record).recent
        return not write.conditional and sum(other.over_at is not None for other in recent) < LINGERING_MAX

    def _refused(self, sent: Sent, refusal: Exception, moment: Moment, *, uncertain: bool) -> Fate:
        scene, write = self._scene, sent.write
        record = scene.history.record(write.record)
        if isinstance(refusal, TokenDrift):
            self._check_drift(write, moment, refusal)
            if uncertain:
                write.over_at = scene.history.tick()
                return "unknown"
        elif isinstance(refusal, TokenReused):
            self._check_reused(sent, refusal)
        else:
            if not write.conditional:
                raise Divergence(f"{write.token} has no condition and was refused: {refusal!r}") from refusal
            if write.sure_at is not None:
                raise Divergence(f"{write.token} was refused after it had been seen") from refusal
            conditions.check_refused(scene, write, sent.request["condition"], moment)
            scene.site.note("condition_failed")
        record.drop(write)
        return "refused"

    def _acknowledge(self, sent: Sent, token: IdempotencyToken, moment: Moment) -> None:
        scene, write = self._scene, sent.write
        time_us = time_of(token)
        if token.token != write.token:
            raise Divergence(f"{write.token} was answered with the token {token.token}")
        if write.time_us is not None and time_us != write.time_us:
            raise Divergence(f"{write.token} of {write.time_us} was answered with {time_us}")
        self._check_admitted(write, moment)
        self._check_no_reuse(write)
        if write.conditional:
            conditions.check_accepted(scene, write, sent.request["condition"], time_us, moment)
            scene.ledger[write.record, write.token] = write
            scene.site.note("condition_held")
        self._note(write, time_us)
        if write.time_us is None:
            scene.history.record(write.record).stamp(write, time_us)
        write.sure_at = moment.ended if write.sure_at is None else min(write.sure_at, moment.ended)

    def _note(self, write: Write, time_us: int) -> None:
        scene = self._scene
        certain = Worlds(scene.history.record(write.record), scene.history.events, scene.history.events, without=write)
        for key in write.sent:
            over = certain.items.get(key, ORIGIN)
            if over.time_us == time_us and over.token != write.token:
                scene.site.note("equal_us")
            if over.kind == DELETE and over.time_us > time_us and write.shape == "put":
                scene.site.note(f"late_under_{scene.shapes.get(over.token, 'put')}")

    def _check_admitted(self, write: Write, moment: Moment) -> None:
        if write.token_time_us < moment.least_us - DRIFT_PAST_US:
            raise Divergence(f"{write.token} of {write.token_time_us} was taken although it is too old")
        if write.token_time_us > moment.most_us + DRIFT_FUTURE_US:
            raise Divergence(f"{write.token} of {write.token_time_us} was taken although it is too far ahead")

    def _check_drift(self, write: Write, moment: Moment, refusal: Exception) -> None:
        late = write.token_time_us < moment.most_us - DRIFT_PAST_US
        early = write.token_time_us > moment.least_us + DRIFT_FUTURE_US
        if not late and not early:
            raise Divergence(f"{write.token} of {write.token_time_us} was refused: {refusal!r}") from refusal
        self._scene.site.note("token_drift")

    def _check_reused(self, sent: Sent, refusal: Exception) -> None:
        if not self._others_in_ledger(sent.write):
            raise Divergence(f"{sent.write.token} named nothing else and was refused: {refusal!r}") from refusal
        self._scene.site.note("token_reused_refused")

    def _check_no_reuse(self, write: Write) -> None:
        if self._others_in_ledger(write):
            raise Divergence(f"{write.token} was taken although it names another conditional write")

    def _others_in_ledger(self, write: Write) -> bool:
        known = self._scene.ledger.get((write.record, write.token))
        return known is not None and known is not write
