from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.datasets.depot import MEMBERS, sha256

from soundstage.core.errors import NotFound
from soundstage.datasets import Dataset, Library, Progress, catalogue
from soundstage.datasets.commands import FetchedFile, ListedDataset, fetch_dataset, list_datasets


def test_the_list_says_where_the_cache_is(library: Library) -> None:
    assert list_datasets(library).folder == str(library.folder)


def test_a_line_tells_of_package_and_data(library: Library, tiny: Dataset) -> None:
    assert list_datasets(library).datasets == (
        ListedDataset(
            name="tiny",
            description="Two small tables.",
            rows=4,
            registry="pypi",
            package="tiny",
            version="1.0",
            download_size=tiny.package.size,
            size=tiny.size,
            licence="CC0",
            terms="Made up for this test.",
            fetched=False,
        ),
    )


def test_the_list_shows_what_was_fetched(library: Library) -> None:
    fetch_dataset("tiny", library=library)
    assert [line.fetched for line in list_datasets(library).datasets] == [True]


def test_listing_creates_nothing(library: Library) -> None:
    list_datasets(library)
    assert not library.folder.exists()


def test_without_a_library_the_whole_catalogue_is_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOUNDSTAGE_DATASETS", str(tmp_path / "chosen"))
    listed = list_datasets()
    assert listed.folder == str(tmp_path / "chosen")
    assert [line.name for line in listed.datasets] == [dataset.name for dataset in catalogue()]


def test_fetching_tells_the_files(library: Library) -> None:
    fetched = fetch_dataset("tiny", library=library)
    rows = MEMBERS["tiny/data/rows.csv"]
    path = str(Path(fetched.folder) / "rows.csv")
    assert fetched.files[0] == FetchedFile(path=path, size=len(rows), sha256=sha256(rows), rows=2)


def test_fetching_tells_whose_the_data_is(library: Library) -> None:
    assert fetch_dataset("tiny", library=library).terms == "Made up for this test."


def test_fetching_passes_progress_on(library: Library) -> None:
    seen: list[Progress] = []
    fetch_dataset("tiny", progress=seen.append, library=library)
    assert seen[-1].note == "done"


def test_an_unknown_dataset_is_not_found(library: Library) -> None:
    with pytest.raises(NotFound):
        fetch_dataset("absent", library=library)


def test_both_replies_become_json(library: Library) -> None:
    fetched = msgspec.json.decode(msgspec.json.encode(fetch_dataset("tiny", library=library)))
    listed = msgspec.json.decode(msgspec.json.encode(list_datasets(library)))
    assert (fetched["name"], listed["datasets"][0]["name"]) == ("tiny", "tiny")
