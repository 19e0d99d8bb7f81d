"""A stage in each of two data centres, on one store, and namespaces whose promises are kept near or everywhere.

What the stages keep of themselves is of both data centres.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from soundstage.core.errors import DeadlineExceeded, InvalidArgument, SoundstageError, Unavailable
from soundstage.core.message import IdempotencyToken
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import KeyValue, PutItem
from soundstage.runtime.namespaces import Namespaces
from soundstage.runtime.stage import Stage

NEAR, LOOSE, FAR = "local", "loose", "global"
DECIDED, GLOBAL_GUARDED, GLOBAL_LOOSE = "local-guarded", "global-guarded", "global-loose"
GUARDED: dict[str, Any] = {"conditional_writes": True}
EVENTUAL: dict[str, Any] = {"consistency": "eventual"}
NAMESPACES: dict[str, dict[str, Any]] = {
    NEAR: {"consistency_scope": "local"},
    LOOSE: {"consistency_scope": "local", **EVENTUAL},
    DECIDED: {"consistency_scope": "local", **GUARDED},
    FAR: {"consistency_scope": "global"},
    GLOBAL_GUARDED: {"consistency_scope": "global", **GUARDED},
    GLOBAL_LOOSE: {"consistency_scope": "global", **EVENTUAL},
}
ALONE = (NEAR, LOOSE, GLOBAL_LOOSE)
"""Served by what is left, whichever data centre is gone."""

TOGETHER = (FAR, GLOBAL_GUARDED)
"""Served by both data centres or not at all."""

IN_SET = (NEAR, FAR, LOOSE)
"""Those of the mutations of a set, in their order."""

LARGE_BYTES = 100_000
RECORD = "record"
WAIT_S = 60.0
ARRIVES_S = 120.0
"""What a node missed is kept for it by the others, and sent in rounds of ten seconds."""

TURNED_DOWN = (Unavailable, DeadlineExceeded)

Values = Mapping[bytes, bytes]


async def open_stage(url: str) -> Stage:
    """It keeps its log to itself, and does between calls what it is told to."""
    config: dict[str, Any] = {
        "engines": {"default": {"url": url}, "log": {"url": "memory:"}},
        "systems": {"writeahead": {"log": "log", "retry_min": "50ms", "retry_max": "1s"}},
        "control": {"poll_interval": "100ms"},
        "telemetry": {"log_level": "error"},
    }
    return await Stage.open(data="memory:", config=config, variables={}, background=False).start()


async def declare(stage: Stage) -> None:
    """The namespaces are there; what decides about conditions is where `stage` is."""
    for name, knobs in NAMESPACES.items():
        config = {"chunk_threshold": "16KiB", **knobs}
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name=name, abstraction="kv", config=config))


class Side:
    """One of the stages, and whatever it acknowledged, by namespace."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.acknowledged: dict[str, dict[bytes, bytes]] = {name: {} for name in NAMESPACES}

    def kv(self, name: str, within_s: float = WAIT_S) -> KeyValue:
        return self.stage.client(KeyValue, name).with_options(deadline=within_s)

    async def put(
        self, name: str, key: bytes, value: bytes, within_s: float = WAIT_S, token: IdempotencyToken | None = None
    ) -> None:
        items = [PutItem(key=key, value=value)]
        await self.kv(name, within_s).put_items(id=RECORD, items=items, idempotency_token=token)
        self.acknowledged[name][key] = value

    async def shown(self, name: str, within_s: float = WAIT_S) -> dict[bytes, bytes]:
        """All items. `DeadlineExceeded` where the page that should have them ends before any."""
        reply = await self.kv(name, within_s).get_items(id=RECORD)
        if reply.next_page_token is not None:
            raise DeadlineExceeded("the page ends before its end", outcome="not_applied")
        return {item.key: item.value or b"" for item in reply.items}

    async def refused(
        self, name: str, key: bytes, within_s: float, token: IdempotencyToken, value: bytes = b"refused"
    ) -> SoundstageError | None:
        """How a put ends that must not be acknowledged."""
        try:
            await self.put(name, key, value, within_s, token)
        except (*TURNED_DOWN, InvalidArgument) as error:
            return error
        return None

    async def unread(self, name: str, within_s: float) -> bool:
        """Whether a read says that it cannot tell."""
        try:
            await self.shown(name, within_s)
        except TURNED_DOWN:
            return True
        return False

    async def until_shown(self, name: str, values: Values) -> None:
        """What was written elsewhere comes, and nothing of it is another."""
        ends = time.monotonic() + ARRIVES_S
        while True:
            try:
                found = await self.shown(name)
            except TURNED_DOWN:
                # Of a value in chunks the row may be here before them.
                found = {}
            if all(found.get(key) == value for key, value in values.items()):
                return
            assert time.monotonic() < ends, f"{name} shows {sorted(found)} and not {sorted(values)}"
            await asyncio.sleep(0.05)
