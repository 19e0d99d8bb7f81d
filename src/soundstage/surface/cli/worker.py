"""What a child process of `soundstage up` runs: one role of the stage, on the engines of its parent.

    python -m soundstage.surface.cli.worker CHANNEL PARENT

`CHANNEL` is the number of the child's end of the channel, `PARENT` the parent's process id. SIGTERM drains and
exits with 0; Ctrl-C is the parent's to hear, which then ends its children in order.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import AsyncExitStack

import msgspec

from soundstage.core.errors import Internal, SoundstageError
from soundstage.runtime.logs import configure_logs
from soundstage.runtime.roles import HTTP
from soundstage.runtime.stage import Stage
from soundstage.runtime.stagefile import LoadedConfig
from soundstage.runtime.traces import configure_traces
from soundstage.runtime.workers.channel import Channel
from soundstage.runtime.workers.lifeline import die_with
from soundstage.runtime.workers.order import Order, decoded
from soundstage.runtime.workers.supervisor import METRICS
from soundstage.surface.cli.failure import DONE, USAGE, CommandFailure
from soundstage.surface.cli.serving import all_well, left, refusals
from soundstage.surface.http.server import Server

log: logging.Logger = logging.getLogger("soundstage.workers")


def main(arguments: list[str]) -> int:
    """The exit code, once the role was told to stop or could not start."""
    import uvloop

    channel, parent = map(int, arguments)
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return left(uvloop.run(_Worker(socket.socket(fileno=channel)).run()))


class _Worker:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stage: Stage | None = None
        self._order: asyncio.Future[Order]
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """The exit code of the process."""
        loop = asyncio.get_running_loop()
        self._order = loop.create_future()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        channel = await Channel.over(self._connection, self._answer, self._told)
        listening = asyncio.ensure_future(channel.run())
        listening.add_done_callback(_orphaned)
        try:
            await self._work(await self._order, channel)
        except CommandFailure as failure:
            channel.tell("failed", msgspec.json.encode(failure.error.problem()))
            await channel.flushed()
            return USAGE
        finally:
            listening.remove_done_callback(_orphaned)
            channel.close()
            await asyncio.gather(listening, return_exceptions=True)
        return DONE

    async def _work(self, order: Order, channel: Channel) -> None:
        async with AsyncExitStack() as running:
            with refusals():
                running.callback(
                    logging.getLogger().removeHandler, configure_logs(order.config.telemetry, process=order.worker)
                )
                if order.config.telemetry.traces:
                    configure_traces()
                stage = await running.enter_async_context(Stage.open(config=LoadedConfig(config=order.config)))
                self._stage = stage
                stage.gather = lambda: channel.ask(METRICS)
                url = ""
                if order.role == HTTP:
                    server = Server(stage, stage.config.http, shared=True)
                    running.push_async_callback(server.stop)
                    await stage.open_doors()
                    url = await server.start()
            await all_well(stage, self._stopping)
            channel.tell("ready", url.encode())
            await self._stopping.wait()

    async def _answer(self, kind: str) -> bytes:
        if kind == METRICS and self._stage is not None:
            return self._stage.metrics_text()
        return b""

    def _told(self, kind: str, body: bytes) -> None:
        if kind == "order" and not self._order.done():
            try:
                self._order.set_result(decoded(body))
            except SoundstageError as error:
                self._order.set_exception(CommandFailure(Internal(f"the order cannot be read: {error}"), USAGE))


def _orphaned(_: asyncio.Task[None]) -> None:
    # The parent is gone, and with it the engines: nothing can be drained.
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
