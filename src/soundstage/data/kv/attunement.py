"""What clients of the key-value store do of themselves: values are compressed on the way out, and undone on the way in.

A write is compressed once, before it is first sent, so that its repetitions are the same bytes. Where a caller may
repeat it by itself, and a server would refuse other bytes under its token, it is sent as it is. What a caller has
compressed itself, and says so by a `codec`, stays as it is too. A reply may have values of any codec beside each other.

A server never looks into a value, so that any writer may put what is none of its codec. Such a value is left out, and
its metadata is not: it keeps nobody from what lies beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from soundstage.core.attunement import Known, Signals
from soundstage.core.compression import PLAIN, compress, decompress, known_codecs, too_large
from soundstage.core.errors import DataLoss, SoundstageError, TooLarge
from soundstage.core.operation import Operation
from soundstage.data.kv.api import (
    BatchGetItemsReply,
    ClientCapabilities,
    GetItemsReply,
    Handshake,
    HandshakeReply,
    Item,
    ItemChange,
    KeyValueCalls,
    KeyValueSignals,
    MutateItems,
    PutItem,
    PutItems,
    PutMutation,
    ScanItemsReply,
)

VERSION = "soundstage-python"

VALUE_MAX_BYTES = 64 << 20
"""Larger values are not compressed: no reader would undo it."""

METADATA_BYTES = 24
"""What it costs a row, about, to say how its value is compressed: a gain of less is none."""

URGENT_BYTES = 1_024
"""Of values so large a client asks how they are to be compressed before it first sends them."""

_CONCERNED = frozenset(
    (
        "put_items",
        "get_items",
        "delete_items",
        "mutate_items",
        "scan_items",
        "batch_get_items",
        "count_items",
        "watch_items",
    )
)

_PUTS = (PutItems, PutMutation)


class KeyValueAttunement:
    """See `soundstage.core.attunement.Attunement`."""

    def concerns(self, operation: Operation[..., Any]) -> bool:
        return operation.name in _CONCERNED

    def namespaces(self, operation: Operation[..., Any], request: Any) -> Sequence[str]:
        if isinstance(request, MutateItems):
            return list(dict.fromkeys(put.namespace for put in _puts(request)))
        # What is no name is left to the server, which says so better.
        return (request.namespace,) if type(request.namespace) is str else ()

    def urges(self, operation: Operation[..., Any], request: Any) -> bool:
        return any(_size(item) >= URGENT_BYTES for put in _puts(request) for item in put.items)

    def question(self, namespace: str) -> tuple[Operation[..., Any], Any]:
        client = ClientCapabilities(codecs=list(known_codecs()), version=VERSION)
        return KeyValueCalls.handshake, Handshake(namespace=namespace, client=client)

    def signals(self, reply: HandshakeReply) -> Signals:
        return reply.signals

    def outgoing(self, operation: Operation[..., Any], request: Any, known: Known) -> Any:
        if isinstance(request, PutItems) and (request.idempotency_token is None or request.condition is None):
            return _packed(request, known)
        if isinstance(request, MutateItems) and request.idempotency_token is None:
            return _mutations(request, known)
        return request

    def is_coded(self, operation: Operation[..., Any], message: Any) -> bool:
        # Most replies are of one item: a step more would be felt.
        lists = (message.items,) if type(message) is GetItemsReply else _lists_read(message)
        for items in lists:
            for item in items:
                if item.metadata.codec is not None:
                    return True
        return False

    def incoming(self, operation: Operation[..., Any], message: Any, limit: int) -> Any:
        left = limit
        # A page can be asked for again with less in it. A change cannot: what does not fit in it is left out.
        is_change = type(message) is ItemChange
        for items in _lists_read(message):
            for index, item in enumerate(items):
                if item.metadata.codec is not None and item.value is not None:
                    value = _value(item, item.metadata.codec, item.value, left if is_change else limit)
                    left -= 0 if value is None else len(value)
                    if left < 0 and not is_change:
                        raise too_large(limit)
                    items[index] = Item(key=item.key, value=value, metadata=item.metadata)
        return message


def compressed(items: Sequence[PutItem], signals: KeyValueSignals | None) -> Sequence[PutItem]:
    """`items` by the codec that the namespace likes best of those that are known here; the same list if none gains."""
    codec = None if signals is None else _chosen(signals)
    if signals is None or codec is None:
        return items
    found = [_compressed(item, codec, signals) for item in items]
    return found if any(new is not old for new, old in zip(found, items, strict=True)) else items


def _compressed(item: PutItem, codec: str, signals: KeyValueSignals) -> PutItem:
    if not _size(item) or item.codec is not None:
        return item
    if not signals.compress_from <= len(item.value) <= VALUE_MAX_BYTES:
        return item
    frame = compress(codec, item.value, signals.compress_level)
    if len(frame) + METADATA_BYTES >= len(item.value):
        return item
    return PutItem(key=item.key, value=frame, ttl=item.ttl, codec=codec)


def _chosen(signals: KeyValueSignals) -> str | None:
    """None where values are to stay as they are."""
    known = known_codecs()
    best = next((codec for codec in signals.codecs if codec in known), PLAIN)
    return None if best == PLAIN else best


def _mutations(request: MutateItems, known: Known) -> MutateItems:
    if not _puts(request):
        return request
    mutations, changed = list(request.mutations), False
    for index, mutation in enumerate(mutations):
        put = getattr(mutation, "put", None)
        packed = _packed(put, known)
        if packed is not put:
            mutations[index], changed = msgspec.structs.replace(mutation, put=packed), True
    return msgspec.structs.replace(request, mutations=mutations) if changed else request


def _packed(put: Any, known: Known) -> Any:
    """`put` with its values compressed as its namespace likes best."""
    if not _is_put(put):
        return put
    items = compressed(put.items, known(put.namespace))
    return put if items is put.items else msgspec.structs.replace(put, items=items)


def _puts(request: Any) -> list[PutItems | PutMutation]:
    """What a request puts."""
    found: list[Any] = [request]
    if isinstance(request, MutateItems):
        found = [getattr(each, "put", None) for each in request.mutations] if _is_list(request.mutations) else []
    return [put for put in found if _is_put(put)]


def _is_put(put: Any) -> bool:
    """False as well for one that is not as it is declared, which is left to the server: it says so better."""
    return isinstance(put, _PUTS) and type(put.namespace) is str and _is_list(put.items)


def _is_list(found: Any) -> bool:
    return isinstance(found, list | tuple)


def _size(item: object) -> int:
    """0 for what is no item, or has no value, which the server says better."""
    return len(item.value) if isinstance(item, PutItem) and type(item.value) is bytes else 0


def _lists_read(message: Any) -> Sequence[list[Item]]:
    if type(message) is GetItemsReply:
        return (message.items,)
    if type(message) is ItemChange:
        return () if message.items is None else (message.items,)
    if type(message) is ScanItemsReply or type(message) is BatchGetItemsReply:
        return [record.items for record in message.records]
    return ()


def _value(item: Item, codec: str, frame: bytes, limit: int) -> bytes | None:
    """The value of an item; None for one that cannot be shown: it is no frame, or has more than `limit` bytes."""
    try:
        return decompress(codec, frame, limit)
    except (DataLoss, TooLarge):
        return None
    except SoundstageError as error:
        error.field = error.field or f"item {item.key[:80]!r}"
        raise


ATTUNEMENT = KeyValueAttunement()
