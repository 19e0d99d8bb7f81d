"""A stage that serves HTTP while a command runs, and the signals that end it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import NamedTuple

import msgspec

from soundstage.core.errors import SoundstageError, Unavailable
from soundstage.runtime.compute import works_on
from soundstage.runtime.config import StageConfig
from soundstage.runtime.doors import DoorInfo
from soundstage.runtime.exposure import check_exposure
from soundstage.runtime.folders import holder
from soundstage.runtime.listening import NotListening
from soundstage.runtime.logs import configure_logs
from soundstage.runtime.roles import HTTP
from soundstage.runtime.stage import Stage
from soundstage.runtime.stagefile import LoadedConfig
from soundstage.runtime.traces import configure_traces
from soundstage.surface.cli.failure import USAGE, CommandFailure, defect_at_start, not_started
from soundstage.surface.http.server import Server, address_of, announce, reserved

_HEALTH_INTERVAL_S = 0.05
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Addresses(NamedTuple):
    """Where a stage is reached, also by its doors, and where its metrics are when they have a listener of their own."""

    url: str
    metrics: str | None
    doors: Sequence[DoorInfo] = ()


@asynccontextmanager
async def serving(loaded: LoadedConfig, stopping: asyncio.Event) -> AsyncGenerator[Addresses]:
    """The stage of `loaded` serves at the addresses yielded, every system answering, until the block ends.

    Ends early, before all is well, when `stopping` is set. Raises `CommandFailure` when it cannot start.
    """
    async with AsyncExitStack() as running:
        with refusals():
            handler = configure_logs(loaded.config.telemetry)
            running.callback(logging.getLogger().removeHandler, handler)
            if loaded.config.telemetry.traces:
                configure_traces()
            with_address = await running.enter_async_context(_address_kept(loaded))
            stage = Stage.open(config=loaded)
            server = Server(stage, stage.config.http)
            # Opening may take long, and whoever asks meanwhile is told so.
            running.push_async_callback(server.stop)
            await _listening(stage, server)
            await running.enter_async_context(stage)
            running.push_async_callback(_stop, stage, server)
            await stage.open_doors()
            url = await server.start()
            if with_address.processes.workers or with_address.processes.shared:
                await _supervised(stage, with_address, running)
            if HTTP in with_address.processes.workers:
                url = address_of(with_address.http, with_address.http.port)
                announce(stage, url)
        await all_well(stage, stopping)
        yield Addresses(url, server.metrics_url, stage.doors.infos())


async def _listening(stage: Stage, server: Server) -> None:
    """Whoever comes is told that the stage is starting."""
    try:
        await server.listen()
    except NotListening:
        if holder(stage.config) is not None:
            # Who has the folder open has the address too, most likely, and is who should be named.
            async with stage:
                pass
        raise


@asynccontextmanager
async def _address_kept(loaded: LoadedConfig) -> AsyncGenerator[StageConfig]:
    """The configuration with the port that HTTP workers share, which is kept for them until the block ends."""
    config = loaded.config
    if HTTP not in config.processes.workers:
        yield config
        return
    check_exposure(config.http.host, config.auth, config.http.insecure)
    with reserved(config.http.host, config.http.port) as keeper:
        http = msgspec.structs.replace(config.http, port=keeper.getsockname()[1])
        yield msgspec.structs.replace(config, http=http)


async def _supervised(stage: Stage, config: StageConfig, running: AsyncExitStack) -> None:
    """The workers of the stage are ready, and end before it."""
    from soundstage.runtime.workers.supervisor import Supervisor

    supervisor = Supervisor(stage, config)
    running.push_async_callback(supervisor.stop)
    await supervisor.start()


async def _stop(stage: Stage, server: Server) -> None:
    """Nobody is served any more. Doors and server drain at the same time, or a stop would wait for both in turn."""
    await asyncio.gather(stage.doors.stop(), server.stop())


async def all_well(stage: Stage, stopping: asyncio.Event) -> None:
    """The stage is healthy, or it is to stop; what it lacks and cannot serve is said once on standard error."""
    said = False
    while not (stage.health().ready or stopping.is_set()):
        if not said:
            print(f"soundstage: not ready: {'; '.join(stage.health().reasons)}", file=sys.stderr)
            said = True
        await asyncio.sleep(_HEALTH_INTERVAL_S)
    for each in stage.health().unserved:
        print(f"soundstage: {each}", file=sys.stderr)


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


def left(code: int) -> int:
    """`code`, for a process to exit with whose stage has stopped; it ends at once where work in threads goes on.

    The interpreter would wait for that work, which nobody hears, however long it takes.
    """
    if works_on():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)
    return code


@contextmanager
def refusals() -> Generator[None]:
    """What keeps a stage from starting ends the command with the exit code of a wrong configuration."""
    try:
        yield
    except SoundstageError as error:
        raise not_started(error) from error
    except NotListening as error:
        raise CommandFailure(_not_listening(error), USAGE) from error
    except CommandFailure:
        raise
    except Exception as error:
        raise defect_at_start(error) from error


def _not_listening(error: NotListening) -> SoundstageError:
    if error.errno == errno.EADDRINUSE:
        return Unavailable(
            f"the address {error.address} is in use",
            hint="stop what listens there, or give another by --port, --metrics-listen or the key of the door; "
            "port 0 picks a free one",
        )
    # Python appends what it tried, which the address says already.
    reason = str(error.strerror).partition(" (while ")[0]
    return Unavailable(
        f"the address {error.address} cannot be listened on: {reason}", hint="give one of this machine by --host"
    )
