"""The file that says which indexes there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundstage.core.errors import DataLoss
from soundstage.engines.search.port import Field, IndexSpec, Kind
from soundstage.engines.search.tantivy.catalogue import FILE, Catalogue, Placed


def spec(name: str) -> IndexSpec:
    return IndexSpec(name=name, fields={"title": Field(kind=Kind.TEXT)})


def added(catalogue: Catalogue, name: str) -> Placed:
    placed = catalogue.reserve(spec(name))
    catalogue.add(placed)
    return placed


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    made = Catalogue(tmp_path)
    made.load()
    return made


def read_again(folder: Path) -> Catalogue:
    found = Catalogue(folder)
    found.load()
    return found


def test_what_was_added_is_read_again(catalogue: Catalogue, tmp_path: Path) -> None:
    one, other = added(catalogue, "one"), added(catalogue, "other")
    catalogue.point("shown", "one")
    found = read_again(tmp_path)
    assert found.contents.indexes == {"one": one, "other": other}
    assert found.contents.aliases == {"shown": "one"}
    assert one.number != other.number


def test_an_index_goes_with_its_aliases_and_folder(catalogue: Catalogue, tmp_path: Path) -> None:
    place = catalogue.place(added(catalogue, "one"))
    catalogue.point("shown", "one")
    assert place.is_dir()
    catalogue.clear(catalogue.remove("one"))
    assert not place.exists()
    assert read_again(tmp_path).contents.aliases == {}


def test_a_number_is_given_once(catalogue: Catalogue, tmp_path: Path) -> None:
    first = added(catalogue, "one")
    catalogue.remove("one")
    assert read_again(tmp_path).reserve(spec("one")).number > first.number


def test_what_nobody_knows_is_cleared_away(catalogue: Catalogue, tmp_path: Path) -> None:
    place = catalogue.place(added(catalogue, "one"))
    left = tmp_path / "index-99"
    left.mkdir()
    read_again(tmp_path)
    assert (place.exists(), left.exists()) == (True, False)


def test_an_alias_may_point_at_nothing(catalogue: Catalogue) -> None:
    added(catalogue, "one")
    catalogue.point("shown", "one")
    catalogue.point("shown", None)
    catalogue.point("shown", None)
    assert catalogue.contents.aliases == {}


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with pytest.raises(DataLoss):
        Catalogue(tmp_path).load()


def test_what_was_reserved_and_not_added_is_cleared_away(catalogue: Catalogue, tmp_path: Path) -> None:
    place = catalogue.place(catalogue.reserve(spec("one")))
    assert place.is_dir()
    assert read_again(tmp_path).contents.indexes == {}
    assert not place.exists()
