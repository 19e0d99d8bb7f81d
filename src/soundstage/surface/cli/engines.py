"""`soundstage engines`: where the data of a stage is."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from soundstage.core.environment import SystemEnvironment
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.trial import ROUNDS, Latency, Trial, try_engine
from soundstage.surface.cli.failure import DONE, FAILED
from soundstage.surface.cli.help import HelpPages
from soundstage.surface.cli.options import Folder, Output
from soundstage.surface.cli.output import chosen_format, show
from soundstage.surface.cli.target import load

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
