"""What clients of the key-value store do of themselves: values are compressed on the way out, and undone on the way in.

A write is compressed once, before it is first sent, so that its repetitions are the same bytes. Where a caller may
repeat it by itself, and a server would refuse other bytes under its token, it is sent as it is. What a caller has
compressed itself, and says so by a `codec`, stays as it is too. A reply may have values of any codec beside each other.

Where a namespace has a dictionary, values go by it. Those of a set of mutations stand by themselves, for it may wait
for longer than any dictionary is kept.

A server never looks into a value, so that any writer may put what is none of its codec. Such a value is left out, and
its metadata is not, nor why: it keeps nobody from what lies beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from soundstage.core.attunement import Known, Signals
from soundstage.core.compression import (
    PLAIN,
    Allowance,
    compress,
    compressing_us,
    declared_size,
    decompress,
    decompressing_us,
    known_codecs,
    too_large,
)
from soundstage.core.dictionaries import ANY_DICTIONARY, Dictionaries, Dictionary, needs_dictionary
from soundstage.core.errors import DataLoss, SoundstageError, TooLarge
from soundstage.core.operation import Operation
from soundstage.data.kv.api import (
    BatchGetItemsReply,
    ClientCapabilities,
    GetDictionary,
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

DICTIONARY_NAME_BYTES = 13
"""So much more it costs to name a dictionary."""

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
        client = ClientCapabilities(codecs=[ANY_DICTIONARY, *known_codecs()], version=VERSION)
        return KeyValueCalls.handshake, Handshake(namespace=namespace, client=client)

    def signals(self, reply: HandshakeReply) -> Signals:
        return reply.signals

    def wants(self, signals: Any) -> str | None:
        best = _best(signals, lambda codec: True)
        return best if needs_dictionary(best) else None

    def outgoing(self, operation: Operation[..., Any], request: Any, known: Known, dictionaries: Dictionaries) -> Any:
        if isinstance(request, PutItems) and (request.idempotency_token is None or request.condition is None):
            return _packed(request, known, dictionaries)
        if isinstance(request, MutateItems) and request.idempotency_token is None:
            return _mutations(request, known)
        return request

    def outgoing_us(self, operation: Operation[..., Any], request: Any, known: Known) -> int:
        found = 0
        for put in _puts(request):
            signals = known(put.namespace)
            if signals is None:
                continue
            codec = _best(signals, lambda codec: True)
            if codec != PLAIN:
                least = signals.dictionary_from if needs_dictionary(codec) else signals.compress_from
                size = sum(_size(item) for item in put.items if _is_to_compress(item, int(least)))
                found += compressing_us(codec, signals.compress_level, size)
        return found

    def incoming_us(self, operation: Operation[..., Any], message: Any, limit: int) -> int:
        found = 0
        for items in _lists_read(message):
            for item in items:
                if item.metadata.codec is not None and item.value is not None:
                    size = declared_size(item.metadata.codec, item.value)
                    # What does not say how large it is may take all that there is.
                    found += decompressing_us(limit if size is None else min(size, limit))
        return found

    def lacks(self, message: Any, dictionaries: Dictionaries) -> Sequence[str]:
        named = {
            item.metadata.codec: None
            for items in _lists_read(message)
            for item in items
            if item.value is not None and needs_dictionary(item.metadata.codec)
        }
        return [codec for codec in named if codec is not None and dictionaries.find(codec) is None]

    def fetching(self, namespace: str, codec: str) -> tuple[Operation[..., Any], Any]:
        return KeyValueCalls.get_dictionary, GetDictionary(namespace=namespace, codec=codec)

    def is_coded(self, operation: Operation[..., Any], message: Any) -> bool:
        # Most replies are of one item: a step more would be felt.
        lists = (message.items,) if type(message) is GetItemsReply else _lists_read(message)
        for items in lists:
            for item in items:
                if item.metadata.codec is not None:
                    return True
        return False

    def incoming(self, operation: Operation[..., Any], message: Any, limit: int, dictionaries: Dictionaries) -> Any:
        left, allowance = limit, Allowance(limit)
        # A page can be asked for again with less in it. A change cannot: what does not fit in it is left out.
        is_change = type(message) is ItemChange
        for items in _lists_read(message):
            for index, item in enumerate(items):
                if item.metadata.codec is not None and item.value is not None:
                    shown = _shown(item, item.value, left if is_change else limit, dictionaries, allowance)
                    left -= 0 if shown.value is None else len(shown.value)
                    if left < 0 and not is_change:
                        raise too_large(limit)
                    items[index] = shown
        return message


def compressed(
    items: Sequence[PutItem], signals: KeyValueSignals | None, dictionaries: Dictionaries | None = None
) -> Sequence[PutItem]:
    """`items` by the codec that the namespace likes best of those that are known here; the same list if none gains.

    Without `dictionaries` by one that needs none.
    """
    if signals is None:
        return items
    codec = _best(signals, lambda codec: dictionaries is not None and dictionaries.find(codec) is not None)
    if codec == PLAIN:
        return items
    dictionary = None if dictionaries is None else dictionaries.find(codec)
    least = signals.compress_from if dictionary is None else signals.dictionary_from
    found = [_compressed(item, codec, signals.compress_level, int(least), dictionary) for item in items]
    return found if any(new is not old for new, old in zip(found, items, strict=True)) else items


def _compressed(item: PutItem, codec: str, level: int, least: int, dictionary: Dictionary | None) -> PutItem:
    if not _is_to_compress(item, least):
        return item
    frame = compress(codec, item.value, level, dictionary)
    cost = METADATA_BYTES if dictionary is None else METADATA_BYTES + DICTIONARY_NAME_BYTES
    if len(frame) + cost >= len(item.value):
        return item
    return PutItem(key=item.key, value=frame, ttl=item.ttl, codec=codec)


def _is_to_compress(item: PutItem, least: int) -> bool:
    size = _size(item)
    return size > 0 and item.codec is None and least <= size <= VALUE_MAX_BYTES


def _best(signals: KeyValueSignals, has: Callable[[str], bool]) -> str:
    """The codec that the namespace likes best of those that are installed, and of those that it `has`."""
    known = known_codecs()
    return next(
        (codec for codec in signals.codecs if codec in known or (needs_dictionary(codec) and has(codec))), PLAIN
    )


def _mutations(request: MutateItems, known: Known) -> MutateItems:
    if not _puts(request):
        return request
    mutations, changed = list(request.mutations), False
    for index, mutation in enumerate(mutations):
        put = getattr(mutation, "put", None)
        packed = _packed(put, known, None)
        if packed is not put:
            mutations[index], changed = msgspec.structs.replace(mutation, put=packed), True
    return msgspec.structs.replace(request, mutations=mutations) if changed else request


def _packed(put: Any, known: Known, dictionaries: Dictionaries | None) -> Any:
    """`put` with its values compressed as its namespace likes best."""
    if not _is_put(put):
        return put
    items = compressed(put.items, known(put.namespace), dictionaries)
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


def _shown(item: Item, frame: bytes, limit: int, dictionaries: Dictionaries, allowance: Allowance) -> Item:
    """The item with its value, or with why that cannot be shown.

    It is no frame, or has more than `limit` bytes, or its dictionary is not to be had; or it does not say how many it
    has, and others like it have used up `allowance`.
    """
    codec = item.metadata.codec
    assert codec is not None
    dictionary = dictionaries.find(codec) if needs_dictionary(codec) else None
    if dictionary is None and needs_dictionary(codec):
        return Item(key=item.key, metadata=item.metadata, withheld="no_dictionary")
    try:
        value = decompress(codec, frame, limit, dictionary, allowance)
        return Item(key=item.key, value=value, metadata=item.metadata)
    except (DataLoss, TooLarge) as error:
        why = "too_large" if isinstance(error, TooLarge) else "damaged"
        return Item(key=item.key, metadata=item.metadata, withheld=why)
    except SoundstageError as error:
        error.field = error.field or f"item {item.key[:80]!r}"
        raise


ATTUNEMENT = KeyValueAttunement()
