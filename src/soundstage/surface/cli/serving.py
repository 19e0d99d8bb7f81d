"""A stage that serves HTTP while a command runs, and the signals that end it."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from soundstage.core.errors import SoundstageError, Unavailable
from soundstage.runtime.config import StageConfig
from soundstage.runtime.logs import configure_logs
from soundstage.runtime.stage import Stage
from soundstage.runtime.stagefile import LoadedConfig
from soundstage.runtime.traces import configure_traces
from soundstage.surface.cli.failure import USAGE, CommandFailure, not_started
from soundstage.surface.http.server import Server

_HEALTH_INTERVAL_S = 0.05
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@asynccontextmanager
async def serving(loaded: LoadedConfig, stopping: asyncio.Event) -> AsyncGenerator[str]:
    """The stage of `loaded` serves at the address yielded, every system answering, until the block ends.

    Ends early, before all is well, when `stopping` is set. Raises `CommandFailure` when it cannot start.
    """
    async with AsyncExitStack() as running:
        with refusals(loaded.config):
            configure_logs(loaded.config.telemetry)
            if loaded.config.telemetry.traces:
                configure_traces()
            stage = await running.enter_async_context(Stage.open(config=loaded))
            server = Server(stage, stage.config.http)
            url = await server.start()
            running.push_async_callback(server.stop)
            await open_systems(stage)
        await all_well(stage, stopping)
        yield url


async def open_systems(stage: Stage) -> None:
    """Every system of the catalogue has been opened, so that the first call of none finds it wanting."""
    for name in stage.systems.catalogue:
        await stage.systems.started(name)


async def all_well(stage: Stage, stopping: asyncio.Event) -> None:
    """The stage is healthy, or it is to stop; what it lacks is said once on standard error."""
    said = False
    while not (stage.health().ready or stopping.is_set()):
        if not said:
            print(f"soundstage: not ready: {'; '.join(stage.health().reasons)}", file=sys.stderr)
            said = True
        await asyncio.sleep(_HEALTH_INTERVAL_S)


@contextmanager
def signalled(stopping: asyncio.Event) -> Generator[None]:
    """The first signal to end sets `stopping`; the next one ends the process at once."""
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stopping.is_set():
            # Nothing is lost: what was acknowledged is on disk already.
            os._exit(128 + number)
        stopping.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


@contextmanager
def refusals(config: StageConfig) -> Generator[None]:
    """What keeps a stage from starting ends the command with the exit code of a wrong configuration."""
    try:
        yield
    except SoundstageError as error:
        raise not_started(error) from error
    except OSError as error:
        raise CommandFailure(_not_listening(error, config), USAGE) from error


def _not_listening(error: OSError, config: StageConfig) -> SoundstageError:
    where = f"{config.http.host}:{config.http.port}"
    if error.errno == errno.EADDRINUSE:
        return Unavailable(
            f"the address {where} is in use", hint="stop what listens there, or give another --port; 0 picks a free one"
        )
    return Unavailable(f"the address {where} cannot be listened on: {error.strerror or error}")
