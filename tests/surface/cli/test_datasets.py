from __future__ import annotations

from pathlib import Path

import pytest
from tests.surface.cli.conftest import Cli

from soundstage.datasets.catalogue import CATALOGUE


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "cache"


def test_all_datasets_are_listed_and_none_is_fetched(cli: Cli, empty_cache: Path) -> None:
    found = cli("datasets", "list").json
    assert [each["name"] for each in found["datasets"]] == [each.name for each in CATALOGUE]
    assert not any(each["fetched"] for each in found["datasets"])
    assert Path(found["folder"]).is_relative_to(empty_cache)


def test_the_list_touches_nothing(cli: Cli, empty_cache: Path) -> None:
    cli("datasets", "list")
    assert not empty_cache.exists()


def test_the_table_shows_where_it_comes_from_and_whose_it_is(cli: Cli) -> None:
    out = cli("datasets", "list", "--output", "table").out
    for dataset in CATALOGUE:
        package = dataset.package
        assert f"{package.registry} {package.name} {package.version}" in out
        assert package.licence in out
        assert f"{package.size / 1e6:.1f} MB" in out


def test_a_dataset_must_be_named(cli: Cli) -> None:
    ended = cli("datasets", "fetch")
    assert ended.code == 2
    assert "see soundstage datasets list" in ended.err


def test_an_unknown_dataset_is_refused_with_the_nearest(cli: Cli) -> None:
    ended = cli("datasets", "fetch", "movielens")
    assert ended.code != 0
    assert "movielens-100k" in ended.err


@pytest.mark.slow
def test_a_fetched_dataset_is_verified_in_the_cache(cli: Cli) -> None:
    name = min(CATALOGUE, key=lambda dataset: dataset.package.size).name
    (fetched,) = cli("datasets", "fetch", name).json["datasets"]
    assert fetched["name"] == name
    assert fetched["terms"]
    assert [Path(file["path"]).stat().st_size for file in fetched["files"]] == [
        file["size"] for file in fetched["files"]
    ]
    assert [each["name"] for each in cli("datasets", "list").json["datasets"] if each["fetched"]] == [name]
