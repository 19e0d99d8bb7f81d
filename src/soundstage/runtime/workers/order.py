"""What a child process is told to be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from soundstage.core.codec import MSGPACK, decoder, msgpack_encode
from soundstage.runtime.config import EngineConfig, StageConfig

_PER_PROCESS = ("in_flight", "namespace_in_flight", "followers")
"""Bounds of a whole stage that its processes share by parts."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The first message to a child: its name, such as `http-1`, the role it runs, and its whole configuration."""

    worker: str
    role: str
    config: StageConfig


_ORDER: Any = decoder(Order, MSGPACK, strict=False)


def encoded(order: Order) -> bytes:
    """`order` as it travels."""
    return msgpack_encode(order)


def decoded(body: bytes) -> Order:
    """The order in a message."""
    return _ORDER.decode(body)


def config_of_worker(
    config: StageConfig, role: str, count: int, hosted: Mapping[str, Sequence[str]], folder: str
) -> StageConfig:
    """The configuration of one of `count` workers that run `role` of the stage configured by `config`.

    The engines named in `hosted`, with the ports they have, are reached at the socket in `folder`. Bounds of the
    whole stage are shared by those that answer calls, so that together they keep to them.
    """
    engines = {
        name: EngineConfig(url=f"host://{quote(folder)}", options={"ports": list(ports)})
        for name, ports in hosted.items()
    }
    processes = msgspec.structs.replace(config.processes, roles=[role], workers={}, shared=False)
    shares = {name: max(1, math.ceil(getattr(config.admission, name) / count)) for name in _PER_PROCESS}
    admission = msgspec.structs.replace(config.admission, share=config.admission.share / count, **shares)
    return msgspec.structs.replace(
        config,
        engines={**config.engines, **engines},
        processes=processes,
        admission=admission,
        http=msgspec.structs.replace(config.http, metrics_listen=None),
    )
