"""Messages about how clients of a namespace are to be."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from soundstage.core.attunement import Signals
from soundstage.core.message import Int64, NamespaceName

Message = msgspec.Struct


class ClientCapabilities(Message, frozen=True, kw_only=True):
    """What a client can do: of the codecs that it names it is offered those that the namespace takes."""

    codecs: Annotated[
        list[str], Meta(max_length=64, description="codecs that the client can compress with and undo")
    ] = msgspec.field(default_factory=list[str])
    chunking: Annotated[bool, Meta(description="whether it takes large values in parts; they come whole anyway")] = (
        False
    )
    version: Annotated[str, Meta(max_length=256, description="of the client, for people")] = ""


class Handshake(Message, kw_only=True):
    namespace: NamespaceName = ""
    client: Annotated[ClientCapabilities, Meta(description="what the client can do")] = ClientCapabilities()


class KeyValueSignals(Signals, frozen=True, kw_only=True):
    """How a namespace wants its clients to be; see `soundstage.core.attunement.Signals`.

    `codecs` are those to compress values with, the best first; the last is `none`, which is not to, and one such as
    `zstd:0f3a…` needs a dictionary (`get_dictionary`). Values smaller than `compress_from`, or `dictionary_from` with a
    dictionary, are left as they are. Values over `chunk_threshold` lie in chunks, and come whole.
    """

    page_size_bytes: Int64
    page_size_max: Int64
    chunk_threshold: Int64
    value_max: Int64
    codecs: list[str]
    compress_from: Int64
    compress_level: Int64
    dictionary_from: Int64 = 0


class HandshakeReply(Message, kw_only=True):
    signals: KeyValueSignals
