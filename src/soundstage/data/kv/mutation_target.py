"""Mutations as they are kept in the write-ahead log, and how each is applied to its namespace."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from soundstage.core.codec import MSGPACK, decoder, msgpack_encode
from soundstage.core.environment import Environment
from soundstage.core.errors import DataLoss, InvalidArgument, TokenDrift, Unavailable
from soundstage.core.limits import CALL_MAX_BYTES, check_id
from soundstage.core.time import Duration
from soundstage.data.kv.api import DeleteMutation, PutMutation
from soundstage.data.kv.large_values import with_chunks
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.writes import delete_batch, put_batch
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Batch
from soundstage.engines.records.refusals import DecidedElsewhere

SLACK_US = IN_FLIGHT_MAX_US // 2
"""By so much a mutation may be older than what its namespace accepts: its store has it before deletes are forgotten."""


class Stored(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One mutation, for the namespace of that generation and for no later one of its name."""

    namespace: str
    generation: int
    put: PutMutation | None = None
    delete: DeleteMutation | None = None


class MutationTarget:
    """See `soundstage.data.writeahead.Target`. `serve` gives a namespace as the service keeps it."""

    def __init__(self, serve: Callable[[str], ServedNamespace], environment: Environment) -> None:
        self._serve = serve
        self._environment = environment

    def place(self, mutation: bytes) -> str:
        """The namespace, whose store may be down."""
        return _read(mutation).namespace

    async def apply(self, mutation: bytes, time_us: int, token: str, deadline_ns: int) -> None:
        """The namespace has the mutation, in the version of that time and token."""
        stored = _read(mutation)
        served = self._serve(stored.namespace)
        if served.view.generation != stored.generation:
            raise InvalidArgument(
                f"the namespace {stored.namespace!r} was deleted; another one has its name now",
                hint="discard the set, or write anew what is still wanted",
            )
        self._check_age(served, time_us)
        partition, batch = batch_of(stored, time_us, token)
        batch = await with_chunks(served, self._environment, partition, batch, deadline_ns)
        try:
            await served.records.apply(served.table, partition, batch, deadline_ns=deadline_ns)
        except DecidedElsewhere as error:
            # The set waits: whoever applies sets next may be there.
            raise Unavailable(error.detail, hint=error.hint, outcome="not_applied") from error
        served.clock.observe(time_us)

    def _check_age(self, served: ServedNamespace, time_us: int) -> None:
        """Raise `TokenDrift` for a mutation so old that deletes which must hide it may be forgotten."""
        window, now_us = served.window, self._environment.now_us()
        if time_us < max(now_us - window.past_us, window.floor_us) - SLACK_US:
            raise TokenDrift(
                f"the mutation is of {Duration((now_us - time_us) * 1_000).seconds:.3f} s ago, and the namespace "
                f"{served.name!r} forgets deletes after {Duration(window.past_us * 1_000)}",
                hint="replay it with retoken, or discard it; the namespace's knob is drift_past",
            )


def encode(stored: Stored) -> bytes:
    """The bytes of a mutation."""
    return msgpack_encode(stored)


def batch_of(stored: Stored, time_us: int, token: str) -> tuple[bytes, Batch]:
    """The partition that a mutation changes, and how. Raises as `put_items` and `delete_items` do."""
    if stored.put is not None:
        partition = check_id(stored.put.id)
        return partition, put_batch(partition, stored.put.items, time_us, token, CALL_MAX_BYTES)
    if stored.delete is None:
        raise DataLoss("a kept mutation is neither put nor delete", hint="discard its set")
    return check_id(stored.delete.id), delete_batch(stored.delete.predicate, time_us, token)


def _read(mutation: bytes) -> Stored:
    try:
        return _decode(mutation)
    except InvalidArgument as error:
        raise DataLoss(f"a kept mutation cannot be read: {error.detail}", hint="discard its set") from None


_decode = decoder(Stored, MSGPACK, strict=False).decode
