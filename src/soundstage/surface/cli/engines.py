"""`soundstage engines`: where the data of a stage is."""

from __future__ import annotations

import msgspec
from cyclopts import App

from soundstage.surface.cli.failure import DONE
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
