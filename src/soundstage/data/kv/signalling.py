"""What a namespace signals to its clients, and which codecs it takes."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from soundstage.core.compression import PLAIN, ZSTD
from soundstage.core.dictionaries import ANY_DICTIONARY, needs_dictionary
from soundstage.core.errors import InvalidArgument
from soundstage.data.kv.api import ClientCapabilities, KeyValueCalls, KeyValueSignals, PutItem
from soundstage.data.kv.config import NamespaceConfig
from soundstage.data.signalling import HOLD, has_hedges, objectives, versioned
from soundstage.runtime.service import NamespaceView

WITHDRAWN_US = 600 * 1_000_000
"""A codec that a namespace takes no more is taken for so long, for clients hear of it a little later."""


def signals_of(view: NamespaceView, dictionary: str | None = None) -> KeyValueSignals:
    """What is told to a client that can do everything; the same of one version of a namespace in every process.

    `dictionary` is the codec to be liked better than zstd, where that is liked.
    """
    config: NamespaceConfig = view.config
    codecs: list[str] = list(config.compression.codecs)
    if dictionary is not None and ZSTD in codecs:
        codecs.insert(codecs.index(ZSTD), dictionary)
    told = KeyValueSignals(
        version="",
        hold=HOLD,
        slos=objectives(view, KeyValueCalls),
        hedging=config.hedging,
        page_size_bytes=int(config.page_size_bytes),
        page_size_max=int(config.page_size_max),
        chunk_threshold=int(config.chunk_threshold),
        value_max=int(config.value_max),
        codecs=[*codecs, PLAIN],
        compress_from=int(config.compression.min_bytes),
        compress_level=config.compression.level,
        dictionary_from=int(config.compression.dictionary_min_bytes),
    )
    return versioned(told)


def for_client(signals: KeyValueSignals, client: ClientCapabilities) -> KeyValueSignals:
    """The signals with those codecs alone that the client has."""
    any_dictionary = ANY_DICTIONARY in client.codecs
    offered = [
        codec
        for codec in signals.codecs
        if codec == PLAIN or codec in client.codecs or (any_dictionary and needs_dictionary(codec))
    ]
    return msgspec.structs.replace(signals, codecs=offered)


def announced(signals: KeyValueSignals) -> str:
    """The version to tell on every reply; nothing where a client that does not ask misses nothing."""
    return signals.version if has_hedges(signals) or len(signals.codecs) > 1 else ""


def taken(view: NamespaceView, now_us: int) -> frozenset[str]:
    """The codecs that writes may have, those that were withdrawn a moment ago included."""
    found: set[str] = {PLAIN, *view.config.compression.codecs}
    for earlier in view.earlier:
        if now_us < earlier.until_us + WITHDRAWN_US:
            found.update(earlier.config.compression.codecs)
    return frozenset(found)


def names_dictionary(items: Iterable[PutItem]) -> bool:
    """Whether a codec of the items needs a dictionary."""
    return any(type(item.codec) is str and needs_dictionary(item.codec) for item in items)


def check_codecs(items: Collection[PutItem], codecs: Collection[str]) -> None:
    """Raise `InvalidArgument` for an item with a codec that is none of `codecs`."""
    for index, item in enumerate(items):
        if item.codec is not None and item.codec not in codecs:
            field = f"items[{index}].codec"
            raise InvalidArgument(
                f"{field} is {str(item.codec)[:80]!r}, which the namespace does not take",
                field=field,
                hint=f"it takes {', '.join(sorted(codecs))}; the namespace's knob is compression.codecs",
            )
