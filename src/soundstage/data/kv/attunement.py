"""What clients of the key-value store do of themselves: values are compressed on the way out, and undone on the way in.

A write is compressed once, before it is first sent, so that its repetitions are the same bytes. Where a caller may
repeat it by itself, and a server would refuse other bytes under its token, it is sent as it is. What a caller has
compressed itself, and says so by a `codec`, stays as it is too. A reply may have values of any codec beside each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from soundstage.core.attunement import Known, Signals
from soundstage.core.compression import PLAIN, compress, decompress, known_codecs
from soundstage.core.errors import SoundstageError
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


class KeyValueAttunement:
    """See `soundstage.core.attunement.Attunement`."""

    def concerns(self, operation: Operation[..., Any]) -> bool:
        return operation.name in _CONCERNED

    def namespaces(self, operation: Operation[..., Any], request: Any) -> Sequence[str]:
        if type(request) is MutateItems:
            return list(dict.fromkeys(each.put.namespace for each in request.mutations if each.put is not None))
        # What is no name is left to the server, which says so better.
        return (request.namespace,) if type(request.namespace) is str else ()

    def urges(self, operation: Operation[..., Any], request: Any) -> bool:
        return any(_size(item) >= URGENT_BYTES for item in _items_put(request))

    def question(self, namespace: str) -> tuple[Operation[..., Any], Any]:
        client = ClientCapabilities(codecs=list(known_codecs()), version=VERSION)
        return KeyValueCalls.handshake, Handshake(namespace=namespace, client=client)

    def signals(self, reply: HandshakeReply) -> Signals:
        return reply.signals

    def outgoing(self, operation: Operation[..., Any], request: Any, known: Known) -> Any:
        if type(request) is PutItems and (request.idempotency_token is None or request.condition is None):
            return _with_items(request, compressed(request.items, known(request.namespace)))
        if type(request) is MutateItems and request.idempotency_token is None:
            return _mutations(request, known)
        return request

    def is_coded(self, operation: Operation[..., Any], message: Any) -> bool:
        for items in _lists_read(message):
            for item in items:
                if item.metadata.codec is not None:
                    return True
        return False

    def incoming(self, operation: Operation[..., Any], message: Any, limit: int) -> Any:
        left = limit
        for items in _lists_read(message):
            for index, item in enumerate(items):
                if item.metadata.codec is not None and item.value is not None:
                    value = _value(item, item.metadata.codec, item.value, left)
                    items[index] = Item(key=item.key, value=value, metadata=item.metadata)
                    left -= len(value)
        return message


def compressed(items: Sequence[PutItem], signals: KeyValueSignals | None) -> Sequence[PutItem]:
    """`items` by the codec that the namespace likes best of those that are known here; the same list if none gains."""
    codec = None if signals is None else _chosen(signals)
    if signals is None or codec is None:
        return items
    found = [_compressed(item, codec, signals) for item in items]
    return found if any(new is not old for new, old in zip(found, items, strict=True)) else items


def _compressed(item: PutItem, codec: str, signals: KeyValueSignals) -> PutItem:
    if item.codec is not None or type(item.value) is not bytes:
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
    mutations = list(request.mutations)
    for index, mutation in enumerate(mutations):
        if mutation.put is not None:
            put = _with_items(mutation.put, compressed(mutation.put.items, known(mutation.put.namespace)))
            if put is not mutation.put:
                mutations[index] = msgspec.structs.replace(mutation, put=put)
    return msgspec.structs.replace(request, mutations=mutations)


def _with_items(message: Any, items: Sequence[PutItem]) -> Any:
    return message if items is message.items else msgspec.structs.replace(message, items=items)


def _size(item: PutItem) -> int:
    """0 for what is no value, which the server says better."""
    return len(item.value) if type(item.value) is bytes else 0


def _items_put(request: Any) -> Iterable[PutItem]:
    if type(request) is PutItems:
        return request.items
    if type(request) is MutateItems:
        return [item for each in request.mutations if each.put is not None for item in each.put.items]
    return ()


def _lists_read(message: Any) -> Sequence[list[Item]]:
    if type(message) is GetItemsReply:
        return (message.items,)
    if type(message) is ItemChange:
        return () if message.items is None else (message.items,)
    if type(message) is ScanItemsReply or type(message) is BatchGetItemsReply:
        return [record.items for record in message.records]
    return ()


def _value(item: Item, codec: str, frame: bytes, left: int) -> bytes:
    try:
        return decompress(codec, frame, left)
    except SoundstageError as error:
        error.field = error.field or f"item {item.key[:80]!r}"
        raise


ATTUNEMENT = KeyValueAttunement()
