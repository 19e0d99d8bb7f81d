"""The messages by which a namespace tells its clients how to be."""

from __future__ import annotations

import msgspec

from soundstage.core.attunement import Signals
from soundstage.core.message import Int64, NamespaceName

Message = msgspec.Struct


class TimeSeriesHandshake(Message, kw_only=True):
    namespace: NamespaceName = ""


class TimeSeriesSignals(Signals, frozen=True, kw_only=True):
    """How a namespace wants its clients to be; see `soundstage.core.attunement.Signals`.

    A page has `page_size` events where its caller does not say, and about `page_size_bytes` at most.
    """

    page_size: Int64
    page_size_bytes: Int64


class TimeSeriesHandshakeReply(Message, kw_only=True):
    signals: TimeSeriesSignals
