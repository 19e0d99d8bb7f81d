from __future__ import annotations

from pathlib import Path

import pytest
from tests.datasets.depot import MEMBERS, FolderClient, dataset, wheel
from tests.datasets.npm_registry import npm_registry

from soundstage.datasets import Dataset, Library

__all__ = ["npm_registry"]


@pytest.fixture
def tiny() -> Dataset:
    """A dataset of two files in a wheel."""
    return dataset(wheel(MEMBERS))


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with that wheel."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    (folder / "tiny-1.0-py3-none-any.whl").write_bytes(wheel(MEMBERS))
    return folder


@pytest.fixture
def client(shelf: Path) -> FolderClient:
    return FolderClient(shelf)


@pytest.fixture
def library(tmp_path: Path, tiny: Dataset, client: FolderClient) -> Library:
    return Library(tmp_path / "cache", datasets=(tiny,), registries={"pypi": client})
