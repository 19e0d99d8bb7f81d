"""What each act of a key-value run does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec

from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.data.kv import api
from soundstage.data.kv.service import KeyValueService
from soundstage.testing.simulation.kv import conditions
from soundstage.testing.simulation.kv.history import ORIGIN
from soundstage.testing.simulation.kv.reading import Reader
from soundstage.testing.simulation.kv.scanning import Scanner
from soundstage.testing.simulation.kv.scene import DRIFT_PAST_US, NAMESPACE, Scene, Sent, time_of, token_at
from soundstage.testing.simulation.kv.steps import RECORDS, KeyValueStep
from soundstage.testing.simulation.kv.writing import (
    Writer,
    delete_of,
    deletion,
    keys_predicate,
    put_of,
    value_of,
)
from soundstage.testing.simulation.scenario import Site
from soundstage.testing.simulation.turn import directly, holding

HELD_S = 45.0
"""How long a straggling write takes from the door to its engine: less than the minute that purging allows for."""

GLIMPSE_S = 0.000_5
SWEEP_ROWS = 1_000
TTL_US = 20_000


async def sweep_values(site: Site, limit: int) -> int:
    """What the role for large values does, once; how many entries it looked at."""
    service = await site.host.stage.systems.started("kv")
    assert isinstance(service, KeyValueService)
    return (await service.sweep_values(NAMESPACE, limit)).examined


class Performer:
    """Has a method for each `Act`."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._writer = Writer(scene)
        self._reader = Reader(scene)
        self._scanner = Scanner(scene)

    async def get(self, step: KeyValueStep) -> None:
        await self._reader.get(step)

    async def walk(self, step: KeyValueStep) -> None:
        await self._reader.walk(step)

    async def count(self, step: KeyValueStep) -> None:
        await self._reader.count(step)

    async def batch_get(self, step: KeyValueStep) -> None:
        await self._reader.batch_get(step)

    async def scan(self, step: KeyValueStep) -> None:
        await self._scanner.scan(step)

    async def put(self, step: KeyValueStep) -> None:
        token = self._scene.token(step)
        if step.choice % 8 == 0:
            token = token_at(time_of(token) - step.age_us, token.token)
        value = value_of(step)
        sent = put_of(step.record, step.keys, value, step.ttl_us, token, False, streamed=step.streamed)
        await self._writer.send(step, sent)

    async def delete(self, step: KeyValueStep) -> None:
        token = self._scene.token(step)
        if step.choice % 4 == 0:
            token = token_at(time_of(token) - step.age_us, token.token)
        await self._writer.send(step, deletion(step, step.record, token))

    async def put_if(self, step: KeyValueStep) -> None:
        await self._send_if(step, self._conditional_put(step, step.record))

    async def delete_if(self, step: KeyValueStep) -> None:
        await self._send_if(step, deletion(step, step.record, self._scene.token(step), conditional=True))

    async def equal_time(self, step: KeyValueStep) -> None:
        """A write at the very microsecond of the one that it meets."""
        certain, token = self._scene.certain(step.record), self._scene.token(step)
        met = max(certain.items.get(key, ORIGIN) for key in step.keys)
        if met is not ORIGIN:
            token = token_at(met.time_us, token.token)
        if step.choice % 3:
            sent = put_of(step.record, step.keys, value_of(step), step.ttl_us, token, False)
        else:
            sent = deletion(step, step.record, token)
        await self._writer.send(step, sent)

    async def reuse_token(self, step: KeyValueStep) -> None:
        """Another payload under a token that has been used."""
        known = self._scene.recall(step)
        if known is None or known.source is not None:
            # Of streams, something else under their token is refused, for as long as they are there.
            return
        token, keys = known.request["idempotency_token"], list(known.write.sent)[:5] or list(step.keys)
        if known.write.conditional and step.choice % 2:
            await self._send_if(step, put_of(step.record, keys, value_of(step), None, token, True))
            return
        if step.choice % 4 == 3:
            sent = delete_of(step.record, "marker", keys_predicate(keys), keys, token, False)
        else:
            sent = put_of(step.record, keys, value_of(step), step.ttl_us, token, False)
        if await self._writer.send(step, sent) == "acknowledged":
            self._scene.site.note("reused_token")

    async def late(self, step: KeyValueStep) -> None:
        """A delete, and then an older write to what it covers."""
        buried = deletion(step, step.record, self._scene.token(step))
        if await self._writer.send(step, buried) != "acknowledged":
            return
        keys = list(buried.write.sent)[:5] or list(step.keys)
        older_us = buried.write.token_time_us - (1, 0, 1_000, 1_000_000)[step.choice % 4]
        token = token_at(older_us, self._scene.token(step).token)
        await self._writer.send(step, put_of(step.record, keys, value_of(step), None, token, False))
        await self._reader.read_all(step, step.record)

    async def straggle(self, step: KeyValueStep) -> None:
        """A write as old as the door takes reaches its engine late, when the sweeper has been where it must not be."""
        record, now_us = f"straggler-{step.number}", self._scene.site.environment.now_us()
        aged = token_at(now_us - DRIFT_PAST_US + 2_000_000, self._scene.token(step).token)
        buried = deletion(step, record, aged)
        if await self._writer.send(step, buried) != "acknowledged" or not buried.write.sent:
            return
        token = token_at(time_of(aged) - 1 - step.choice % 1_000, self._scene.token(step).token)
        sent = put_of(record, list(buried.write.sent)[:5], value_of(step), None, token, False)
        await self._late(step, self._writer.send(step, sent, once=True))
        await self._reader.read_all(step, record)
        self._scene.site.note("straggled")

    async def glimpse(self, step: KeyValueStep) -> None:
        """A write is read before it is acknowledged, and the host ends: what has been seen must last."""
        scene, host = self._scene, self._scene.site.host
        token = scene.token(step)
        writing = asyncio.ensure_future(
            self._writer.send(step, put_of(step.record, step.keys, value_of(step), None, token, False))
        )
        with directly():
            while not writing.done():
                shown = await self._reader.read_all(step, step.record)
                if any(each.token == token.token for each in shown.values()) and not writing.done():
                    await host.restart(host.storage.ends[-1], 0.0)
                    # Before the writer sends again what may have been lost.
                    await self._reader.read_all(step, step.record)
                    scene.site.note("seen_before_acknowledged")
                    break
                await scene.pause(step, GLIMPSE_S)
        await writing

    async def repeat(self, step: KeyValueStep) -> None:
        """A write is sent again long after it was answered."""
        known = self._scene.recall(step)
        if known is not None:
            await self._repeat(step, known)

    async def repeat_if_overwritten(self, step: KeyValueStep) -> None:
        """A conditional write, an overwrite, and the conditional write again."""
        sent = self._conditional_put(step, step.record)
        if await self._send_if(msgspec.structs.replace(step, aim="item_token"), sent) != "acknowledged":
            return
        over = put_of(step.record, step.keys, value_of(step, "over"), None, self._scene.token(step), False)
        if step.choice % 3 == 0:
            over = deletion(step, step.record, self._scene.token(step))
        await self._writer.send(step, over)
        await self._repeat(step, sent)
        await self._reader.read_all(step, step.record)

    async def repeat_if_late(self, step: KeyValueStep) -> None:
        """A conditional write is sent again as late as the door takes it, and reaches its engine later still."""
        scene, record = self._scene, f"late-{step.number}"
        aged = token_at(scene.site.environment.now_us() - DRIFT_PAST_US + 2_000_000, scene.token(step).token)
        sent = put_of(record, step.keys, value_of(step), None, aged, True)
        absent = [api.Condition(key=key, absent=True) for key in step.keys]
        sent.request["condition"] = absent
        if await self._writer.send(step, sent) != "acknowledged":
            return
        gone = delete_of(record, "marker", keys_predicate(step.keys), step.keys, scene.token(step), False)
        if await self._writer.send(step, gone) != "acknowledged":
            return
        await self._late(step, self._writer.repeat(step, sent, once=True))
        await self._reader.read_all(step, record)
        scene.site.note("straggling_repetition")

    async def at_expiry(self, step: KeyValueStep) -> None:
        """An item is read in the last microsecond of its life and in the first after it."""
        scene, ttl_us = self._scene, step.ttl_us or TTL_US
        sent = put_of(step.record, step.keys, value_of(step), ttl_us, scene.token(step), False)
        if await self._writer.send(step, sent) != "acknowledged":
            return
        expires_us = sent.write.token_time_us + ttl_us
        with directly():
            for instant_us in (expires_us - 1, expires_us):
                wait_ns = instant_us * 1_000 - scene.site.environment.now_ns()
                if wait_ns < 0:
                    return
                await scene.pause(step, wait_ns / 1e9)
                met = scene.site.environment.now_us() == instant_us
                await self._reader.read(step, step.record, keys_predicate(step.keys), step.keys, None)
                if met:
                    scene.site.note("expiry_boundary")

    async def age(self, step: KeyValueStep) -> None:
        """Everything that is due is swept away, and nothing that counts goes with it."""
        await self._sweep()
        for record in RECORDS:
            await self._reader.read_all(step, record)

    def _conditional_put(self, step: KeyValueStep, record: str) -> Sent:
        token, streamed = self._scene.token(step), step.streamed
        return put_of(record, step.keys, value_of(step), step.ttl_us, token, True, streamed=streamed)

    async def _send_if(self, step: KeyValueStep, sent: Sent) -> str:
        found = conditions.conditions_of(self._scene, step, sent.write.record)
        sent.request["condition"] = found[0] if len(found) == 1 else found
        return await self._writer.send(step, sent)

    async def _repeat(self, step: KeyValueStep, sent: Sent) -> None:
        write, site = sent.write, self._scene.site
        newest_us = self._scene.certain(write.record).newest.time_us
        overwritten = write.conditional and write.time_us is not None and newest_us > write.time_us
        await self._writer.repeat(step, sent)
        site.note("conditional_retry_after_overwrite" if overwritten else "repeated")

    async def _late(self, step: KeyValueStep, sending: Coroutine[Any, Any, object]) -> None:
        """`sending` goes on while its request is held up and the sweeper runs."""
        with holding(HELD_S):
            task = asyncio.ensure_future(sending)
            await self._scene.pause(step, 5.0)
        await self._scene.pause(step, HELD_S - 7.0)
        for _ in range(3):
            await self._sweep()
            await self._scene.pause(step, 0.5)
        await task

    async def _sweep(self) -> None:
        try:
            await self._scene.site.host.sweep(SWEEP_ROWS)
            await sweep_values(self._scene.site, SWEEP_ROWS)
        except (Unavailable, DeadlineExceeded):
            self._scene.site.note("host_was_down")
