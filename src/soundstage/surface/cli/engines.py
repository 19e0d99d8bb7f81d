"""`soundstage engines`: where the data of a stage is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import InvalidArgument, SoundstageError
from soundstage.core.time import Instant
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.engines import Engines
from soundstage.runtime.stagefile import LoadedConfig
from soundstage.runtime.transfer.housing import Housing
from soundstage.runtime.transfer.moving import EngineCopy, Round
from soundstage.runtime.trial import ROUNDS, Latency, Trial, try_engine
from soundstage.surface.cli.failure import DONE, FAILED, USAGE, CommandFailure, not_started
from soundstage.surface.cli.help import HelpPages
from soundstage.surface.cli.options import Folder, Output
from soundstage.surface.cli.output import chosen_format, show
from soundstage.surface.cli.target import existing_data, load

app: App = App(
    name="engines",
    help="The engines that namespaces bind by name.",
    help_format="plaintext",
    help_formatter=HelpPages(),
    version_flags=(),
)

_NO_FOLDER = Folder()


class ShownEngine(msgspec.Struct, frozen=True):
    """One engine as configured."""

    name: str
    url: str
    durability: str
    cache: str
    low_water: str


class EngineList(msgspec.Struct, frozen=True):
    """The engines of a stage, and its data folder."""

    engines: list[ShownEngine]
    data: str


@app.command(name="list")
def listing(*, folder: Folder = _NO_FOLDER, output: Output = None) -> int:
    """The engines of the configuration; opens none."""
    config = load(folder).config
    found = [
        ShownEngine(name, engine.url, engine.durability, str(engine.cache), str(engine.low_water))
        for name, engine in config.engines.items()
    ]
    show(EngineList(found, config.data), chosen_format(output))
    return DONE


class ShownTrial(msgspec.Struct, frozen=True):
    """A trial as the table shows it; times are in milliseconds."""

    port: str
    version: str
    connect: str
    write: str
    read: str
    delete: str
    capabilities: str
    problem: str


class ShownTrials(msgspec.Struct, frozen=True):
    """The table of trials."""

    ports: list[ShownTrial]


class Trials(msgspec.Struct, frozen=True):
    """What came of a check, for each port."""

    ports: list[Trial]


@app.command
def check(
    engine: Annotated[str, Parameter(name="URL", help="An engine's URL, or its name in the configuration.")],
    *,
    rounds: Annotated[int, Parameter(help="How often it writes, reads and deletes.")] = ROUNDS,
    folder: Folder = _NO_FOLDER,
    output: Output = None,
) -> int:
    """The engine was opened and kept a value for a moment; prints what it can and how long calls took.

    Writes under a name of its own and deletes that. The folder of an embedded engine is made where it is not there.
    """
    config = load(folder).config
    chosen = config.engines.get(engine) or EngineConfig(url=engine)
    found = asyncio.run(try_engine(chosen, config.data, SystemEnvironment(), max(1, rounds)))
    form = chosen_format(output)
    show(ShownTrials([_shown(trial) for trial in found]) if form == "table" else Trials(found), form)
    return FAILED if any(trial.problem for trial in found) else DONE


class EngineCopied(msgspec.Struct, frozen=True):
    """What a copy came to. All that was acknowledged before `until` is in the target; `finished`: and proven to be."""

    source: str
    target: str
    until: Instant
    finished: bool
    rounds: int
    tables: int
    records: int
    items: int
    bytes: int


@app.command(name="copy")
def copying(
    source: Annotated[str, Parameter(name="FROM", help="Name of a records engine in the configuration.")],
    target: Annotated[str, Parameter(name="TO", help="An engine's URL, or its name in the configuration.")],
    *,
    running: Annotated[
        bool,
        Parameter(
            help="The stage is up, with processes.shared: copy while it is written to, to be finished by --since.",
            negative="",
        ),
    ] = False,
    since: Annotated[
        str | None,
        Parameter(help="Go on after the copy that said this as `until`; without --running, finish it.", metavar="AT"),
    ] = None,
    give_up: Annotated[
        bool, Parameter(help="Undo a copy that will not be finished: the target holds nothing.", negative="")
    ] = False,
    folder: Folder = _NO_FOLDER,
    output: Output = None,
) -> int:
    """An engine holds all that another one does, its tables, tokens and deletes, and what the stage keeps for itself.

    Without --running nobody else may have the engine FROM open, and the copy is finished and proven by a checksum:
    from then on the configuration may name TO in its place.
    """
    since_us = None if since is None else Instant.parse(since).us
    done = asyncio.run(_copy(existing_data(folder), source, target, running, since_us, give_up))
    if done is not None:
        show(done, chosen_format(output))
    return DONE


async def _copy(
    loaded: LoadedConfig, source: str, target: str, running: bool, since_us: int | None, give_up: bool
) -> EngineCopied | None:
    async with _both(loaded, source, target, running) as copy:
        if give_up:
            await copy.give_up()
            return None
        if since_us is None:
            await copy.begin()
        if running:
            rounds = await copy.follow(since_us)
        else:
            rounds = [await copy.finish(since_us)]
    return _copied(source, target, rounds, finished=not running)


@asynccontextmanager
async def _both(loaded: LoadedConfig, source: str, target: str, running: bool) -> AsyncGenerator[EngineCopy]:
    """A copy between both engines, which are open and nothing else writes to the target."""
    config, environment = loaded.config, SystemEnvironment()
    names = {source, config.control.engine}
    try:
        if source not in config.engines:
            raise InvalidArgument(f"there is no engine {source!r}", field="from", hint="see `soundstage engines list`")
        if target in names:
            raise InvalidArgument("an engine is no copy of itself", field="to", hint="name another one")
        found = {
            name: _hosted(name) if running else config.engines[name] for name in sorted(names) if name in config.engines
        }
        found[target] = config.engines.get(target) or EngineConfig(url=target)
        engines = Engines(found, config.data, environment)
        read, control = engines.get(source, "from"), engines.get(config.control.engine, "control.engine")
        written = engines.get(target, "to")
    except InvalidArgument as error:
        raise CommandFailure(error, USAGE) from error
    housing = Housing(source, written, control, config, environment)
    try:
        await engines.start()
    except SoundstageError as error:
        raise not_started(error) from error
    try:
        yield EngineCopy(read, written, environment, asyncio.to_thread, housing.tables)
    except SoundstageError as error:
        raise CommandFailure(error, USAGE if isinstance(error, InvalidArgument) else FAILED) from error
    finally:
        await engines.stop()


def _hosted(name: str) -> EngineConfig:
    """The engine `name` of the process that has the data folder open."""
    return EngineConfig(url="host:", options={"engine": name})


def _copied(source: str, target: str, rounds: list[Round], *, finished: bool) -> EngineCopied:
    last = rounds[-1]
    return EngineCopied(
        source=source,
        target=target,
        until=Instant.from_us(last.began_us),
        finished=finished,
        rounds=len(rounds),
        tables=last.tables,
        records=last.records,
        items=last.items,
        bytes=last.bytes,
    )


def _shown(trial: Trial) -> ShownTrial:
    return ShownTrial(
        trial.port,
        trial.version,
        f"{trial.connect_ms:.1f}",
        _median(trial.write),
        _median(trial.read),
        _median(trial.delete),
        " ".join(trial.capabilities),
        trial.problem,
    )


def _median(latency: Latency | None) -> str:
    return "" if latency is None else f"{latency.median:.2f}"
