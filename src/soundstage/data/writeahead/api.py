"""The messages and operations of the write-ahead log."""

# The bodies of declared operations never run.
# pyright: reportReturnType=false

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from soundstage.core.errors import NotFound, PreconditionFailed
from soundstage.core.message import IdempotencyToken, Instant, PageSize, PageToken
from soundstage.core.operation import AsyncFace, SyncFace, operation

MutationId: TypeAlias = Annotated[
    str, Meta(description="of the set, as the call that submitted it returned it: 32 hexadecimal digits")
]

State: TypeAlias = Literal["accepting", "accepted", "pending", "applied", "dead", "discarded"]


class MutationProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a mutation could not be applied: the code of the error, and what it said."""

    code: str
    detail: str


class MutationStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A set of mutations, of which the first `applied` were applied.

    `accepting`: its submission was cut off; submit it again. `accepted`: it is being applied, or about to be.
    `pending`: it waits until `next_try_at`, for its time or after a `problem`. `applied`: all of it is. `dead`: the
    rest of it was given up at `died_at`, for `problem`. `discarded`: the rest is not going to be applied.

    `idempotency_token` is that of the first mutation; the time of each further one is a microsecond later.
    """

    mutation_id: str
    target: str
    state: State
    mutations: int
    applied: int = 0
    idempotency_token: IdempotencyToken
    accepted_at: Instant
    apply_at: Instant | None = None
    tries: int = 0
    next_try_at: Instant | None = None
    died_at: Instant | None = None
    problem: MutationProblem | None = None


class GetStatus(msgspec.Struct, frozen=True, kw_only=True):
    mutation_id: MutationId


class ListDead(msgspec.Struct, frozen=True, kw_only=True):
    target: Annotated[str, Meta(description="whose: the system that was asked for the mutations")] = "kv"
    page_size: PageSize = 100
    page_token: PageToken = None


class ListDeadReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Those that died first come first."""

    sets: list[MutationStatus]
    next_page_token: str | None = None


class GetDead(msgspec.Struct, frozen=True, kw_only=True):
    mutation_id: MutationId


class DeadSet(msgspec.Struct, frozen=True, kw_only=True):
    """A dead set with all its mutations, as their system keeps them; the first `status.applied` were applied."""

    status: MutationStatus
    mutations: list[dict[str, Any]]


class ReplayDead(msgspec.Struct, frozen=True, kw_only=True):
    mutation_id: MutationId
    retoken: Annotated[
        bool,
        Meta(
            description="apply the rest as if it was submitted now, over what was written since; needed once the set "
            "is too old for its own versions"
        ),
    ] = False


class Discard(msgspec.Struct, frozen=True, kw_only=True):
    mutation_id: MutationId


class WriteAheadCalls:
    """Accepted sets of mutations: what became of them, and what to do with those that could not be applied."""

    system = "writeahead"

    @operation(GetStatus, access="read", idempotent=True, errors=(NotFound,))
    def status(self) -> MutationStatus:
        """What has become of a set of mutations, for as long as the stage remembers it."""

    @operation(ListDead, access="admin", idempotent=True)
    def list_dead(self) -> ListDeadReply:
        """One page of the sets that are dead: neither applied whole nor discarded."""

    @operation(GetDead, access="admin", idempotent=True, errors=(NotFound, PreconditionFailed))
    def get_dead(self) -> DeadSet:
        """A dead set with its mutations."""

    @operation(ReplayDead, access="admin", errors=(NotFound, PreconditionFailed))
    def replay(self) -> MutationStatus:
        """A dead set is tried again, from the mutation on that could not be applied."""

    @operation(Discard, access="admin", idempotent=True, errors=(NotFound, PreconditionFailed))
    def discard(self) -> MutationStatus:
        """What is left of a set that is dead, or that waits, is not going to be applied."""


class WriteAhead(AsyncFace, WriteAheadCalls):
    """Tells of sets of mutations and decides about dead ones, asynchronous: `stage.client(WriteAhead)`."""


class SyncWriteAhead(SyncFace, WriteAheadCalls):
    """Tells of sets of mutations and decides about dead ones, synchronous."""


CALLS = WriteAheadCalls
