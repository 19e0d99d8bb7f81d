"""Messages about sets of writes to several records."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from soundstage.core.message import IdempotencyToken, Instant, NamespaceName
from soundstage.data.kv.api.items import Predicate, PutItem, RecordId, WriteToken

Message = msgspec.Struct


class PutMutation(Message, kw_only=True):
    namespace: NamespaceName
    id: RecordId
    items: Annotated[list[PutItem], Meta(description="up to 5000")]


class DeleteMutation(Message, kw_only=True):
    namespace: NamespaceName
    id: RecordId
    predicate: Annotated[Predicate, Meta(description="which items")]


class Mutation(Message, kw_only=True, omit_defaults=True):
    """Exactly one of its fields is given."""

    put: PutMutation | None = None
    delete: DeleteMutation | None = None


class MutateItems(Message, kw_only=True):
    mutations: Annotated[
        list[Mutation], Meta(description="up to 1000, together up to 4 MiB; of any records and namespaces")
    ]
    apply_at: Annotated[
        Instant | None, Meta(description="when to apply them, as writes of that time; none: at once")
    ] = None
    idempotency_token: WriteToken = None


class MutateItemsReply(Message, kw_only=True):
    """`idempotency_token` is that of the first mutation, each further one has a time of a microsecond more.

    `mutation_id` names them all in `writeahead/status`.
    """

    idempotency_token: IdempotencyToken
    mutation_id: str
