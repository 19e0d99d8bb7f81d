"""Sets of mutations: checked as puts and deletes are, accepted into the write-ahead log, and applied from there.

What can fail for good is refused before anything is accepted. Every namespace admits the token by its own drift.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from soundstage.core.call import Call
from soundstage.core.errors import DeadlineExceeded, InvalidArgument, SoundstageError, Unavailable
from soundstage.core.ids import uuid4_hex
from soundstage.core.limits import check_call_bytes
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.data.kv.api import DeleteMutation, MutateItems, MutateItemsReply, Mutation, PutMutation
from soundstage.data.kv.mutation_target import MutationTarget, Stored, batch_of, encode
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.signalling import check_codecs
from soundstage.data.kv.tokens import tell_repeatable
from soundstage.data.writeahead import Journal, Submission, Target, check_count, open_journal
from soundstage.runtime.service import ServiceContext

SYSTEM = "kv"

_CHOICE = "give exactly one of put and delete"


class Mutations:
    """Accepts the sets of this process; `serve` gives a namespace as the service keeps it."""

    def __init__(self, context: ServiceContext, serve: Callable[[str], ServedNamespace]) -> None:
        self._context = context
        self._environment = context.environment
        self._serve = serve

    def namespaces(self, request: MutateItems) -> list[str]:
        """Every namespace of the set. Raises `InvalidArgument` for a mutation that is neither put nor delete."""
        return list(dict.fromkeys(_chosen(each, index).namespace for index, each in enumerate(request.mutations)))

    async def journal(self) -> tuple[Journal, Target]:
        """Where sets are accepted, and what applies them."""
        return await open_journal(self._context, SYSTEM), MutationTarget(self._serve, self._environment)

    async def accept(self, call: Call, request: MutateItems) -> MutateItemsReply:
        """The set is in the log, durably. Raises for what would fail for good, naming the mutation."""
        journal, _ = await self.journal()
        check_count(len(request.mutations))
        served = self._served(request)
        token, time_us = self._token(request, list(served.values()))
        due_us = self._due_us(request, journal, time_us)
        stored = self._checked(request, served, token.token, max(time_us, due_us))
        submission = Submission(
            token=token.token,
            time_us=time_us,
            due_us=due_us,
            mutations=stored,
            scope=call.principal.id,
            places=list(served),
        )
        # When they are applied nobody counts them, nor when they are sent again.
        counts = Counter(_chosen(each, index).namespace for index, each in enumerate(request.mutations))
        try:
            mutation_id = await journal.submit(
                submission, call.deadline_ns, lambda: self._context.namespaces.take_writes(counts)
            )
        except (Unavailable, DeadlineExceeded) as error:
            tell_repeatable(error, request.idempotency_token)
            raise
        effective = IdempotencyToken(Instant.from_us(max(time_us, due_us)), token.token)
        return MutateItemsReply(idempotency_token=effective, mutation_id=mutation_id)

    def _served(self, request: MutateItems) -> dict[str, ServedNamespace]:
        served: dict[str, ServedNamespace] = {}
        for index, mutation in enumerate(request.mutations):
            name = _chosen(mutation, index).namespace
            if name not in served:
                try:
                    served[name] = self._serve(name)
                except SoundstageError as error:
                    error.field = f"mutations[{index}].{_kind(mutation)}.namespace"
                    raise
        return served

    def _token(self, request: MutateItems, served: Sequence[ServedNamespace]) -> tuple[IdempotencyToken, int]:
        """The token of the set and its time; as many ticks after it as there are mutations are its own."""
        token, now_us, count = request.idempotency_token, self._environment.now_us(), len(request.mutations)
        clocks = [self._context.clock, *(each.clock for each in served)]
        if token is None:
            # The greatest, for it comes after everything that any of the namespaces has seen.
            time_us = max(clock.next_us(count) for clock in clocks)
            token = IdempotencyToken(Instant.from_us(time_us), uuid4_hex(self._environment))
            for each in served:
                each.window.check_own(time_us, now_us)
        else:
            time_us = max(each.window.admit(token, now_us) for each in served)
        for clock in clocks:
            clock.observe(time_us + count - 1)
        return token, time_us

    def _due_us(self, request: MutateItems, journal: Journal, time_us: int) -> int:
        """When the set is due, 0 for at once. Whether it is in the past does not matter: a repetition may be late."""
        if request.apply_at is None or request.apply_at.us <= time_us:
            return 0
        if request.apply_at.us > self._environment.now_us() + journal.config.delay_max.us:
            raise InvalidArgument(
                f"apply_at is more than {journal.config.delay_max} ahead",
                field="apply_at",
                hint="choose an earlier time; the stage's knob is systems.writeahead.delay_max",
            )
        return request.apply_at.us

    def _checked(
        self, request: MutateItems, served: dict[str, ServedNamespace], token: str, time_us: int
    ) -> list[bytes]:
        """The mutations as they are stored, each of which could be applied now."""
        stored: list[bytes] = []
        for index, mutation in enumerate(request.mutations):
            chosen = _chosen(mutation, index)
            namespace = served[chosen.namespace]
            kept = Stored(
                namespace=namespace.name,
                generation=namespace.view.generation,
                put=mutation.put,
                delete=mutation.delete,
            )
            try:
                if mutation.put is not None:
                    # It may wait for longer than any dictionary is kept.
                    check_codecs(mutation.put.items, namespace.codecs_alone())
                batch_of(kept, time_us + index, f"{token}/{index}")
            except SoundstageError as error:
                place = f"mutations[{index}].{_kind(mutation)}"
                error.field = f"{place}.{error.field}" if error.field else place
                raise
            stored.append(encode(kept))
        check_call_bytes(sum(map(len, stored)), "mutations")
        return stored


def _chosen(mutation: Mutation, index: int) -> PutMutation | DeleteMutation:
    """What a mutation does. Raises `InvalidArgument` for one that does nothing, or two things."""
    if mutation.put is not None and mutation.delete is None:
        return mutation.put
    if mutation.delete is not None and mutation.put is None:
        return mutation.delete
    what = "is empty" if mutation.put is None else "has both put and delete"
    raise InvalidArgument(f"mutations[{index}] {what}", field=f"mutations[{index}]", hint=_CHOICE)


def _kind(mutation: Mutation) -> str:
    return "delete" if mutation.put is None else "put"
