"""What a client remembers of the records it has written to, where a cache may not have been told of that.

The reply to a write says for how long it is to be remembered, if at all. So long the client's reads of that record ask
for what is at least as new, by `min_version`. The memory is bounded: while it may lack a record of a namespace, reads
of records there that it does not know ask the store, by a `selection`, which no cache answers.
"""

from __future__ import annotations

from typing import Any

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import Unavailable
from soundstage.core.message import IdempotencyToken
from soundstage.core.operation import Operation
from soundstage.core.recall import Send
from soundstage.data.kv.api import (
    DeleteItems,
    DeleteItemsReply,
    GetItems,
    PutItems,
    PutItemsReply,
    PutValue,
    PutValueReply,
    Selection,
)

RECORDS_MAX = 10_000
"""Records remembered, by a connection."""


class Written(msgspec.Struct, frozen=True):
    """The greatest write to a record, and until when it is to be remembered by the monotonic clock."""

    token: IdempotencyToken
    until_ns: int


class OwnWrites:
    """The writes of one connection."""

    def __init__(self, environment: Environment, records_max: int = RECORDS_MAX) -> None:
        self._environment = environment
        self._records_max = records_max
        self._written: dict[tuple[str, str], Written] = {}
        self._lacking: dict[str, int] = {}

    async def around(self, operation: Operation[..., Any], request: Any, send: Send) -> Any:
        """The reply, to a read with what the client wrote; see `soundstage.core.recall.Recall`."""
        # What is neither name nor id is left to the server, which says so better.
        if isinstance(request, GetItems) and type(request.namespace) is str and type(request.id) is str:
            return await self._read(request, send)
        reply = await send(request)
        self.answered(request, reply)
        return reply

    def answered(self, request: Any, reply: Any) -> None:
        """A write is remembered if its reply says so."""
        if (
            isinstance(request, PutItems | DeleteItems | PutValue)
            and isinstance(reply, PutItemsReply | DeleteItemsReply | PutValueReply)
            and reply.remember_for is not None
        ):
            until_ns = self._environment.monotonic_ns() + reply.remember_for
            self._remember((request.namespace, request.id), reply.idempotency_token, until_ns)

    async def _read(self, request: GetItems, send: Send) -> Any:
        asked = self._as_asked(request)
        try:
            return await send(asked)
        except Unavailable as error:
            if asked is request or error.field != "min_version":
                raise
        # The store has the last word: a record that lacks what was written is of a namespace that was made anew.
        self._written.pop((request.namespace, request.id), None)
        return await send(request)

    def _as_asked(self, request: GetItems) -> GetItems:
        """`request`, so that its answer has what this client wrote; one that says for itself is left as it is."""
        if request.min_version is not None or request.page_token is not None or request.selection is not None:
            return request
        found = self._written.get((request.namespace, request.id))
        if found is not None and found.until_ns > self._environment.monotonic_ns():
            return msgspec.structs.replace(request, min_version=found.token)
        if found is None and self._lacks(request.namespace):
            return msgspec.structs.replace(request, selection=Selection())
        return request

    def _lacks(self, namespace: str) -> bool:
        """Whether a record of the namespace was forgotten that was to be remembered still."""
        until_ns = self._lacking.get(namespace)
        if until_ns is None:
            return False
        if until_ns > self._environment.monotonic_ns():
            return True
        del self._lacking[namespace]
        return False

    def _remember(self, record: tuple[str, str], token: IdempotencyToken, until_ns: int) -> None:
        before = self._written.pop(record, None)
        if before is not None:
            token, until_ns = max(token, before.token, key=_age), max(until_ns, before.until_ns)
        # The last written stand last.
        self._written[record] = Written(token, until_ns)
        while len(self._written) > self._records_max:
            self._forget(next(iter(self._written)))

    def _forget(self, record: tuple[str, str]) -> None:
        until_ns = self._written.pop(record).until_ns
        if until_ns > self._environment.monotonic_ns():
            self._lacking[record[0]] = max(until_ns, self._lacking.get(record[0], 0))


def _age(token: IdempotencyToken) -> tuple[int, str]:
    return token.generation_time, token.token


RECALL = OwnWrites
