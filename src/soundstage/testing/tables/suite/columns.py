"""What engines of the tables port must do when a table's columns change."""

from __future__ import annotations

from typing import Any

import pytest

from soundstage.core.errors import AlreadyExists, InvalidArgument, NotFound, SoundstageError
from soundstage.engines.tables.arrow import pa
from soundstage.engines.tables.filters import equal, missing
from soundstage.engines.tables.port import (
    AddColumn,
    At,
    Column,
    DropColumn,
    PartitionField,
    RelaxColumn,
    RenameColumn,
    Tables,
    TableSpec,
    WidenColumn,
)
from soundstage.testing.tables.samples import BY_GENRE, COLUMNS, FILMS, SPEC, film, found, ids, rows


class ColumnChanges:
    """A part of `TablesSuite`."""

    async def test_a_column_that_was_added_has_no_value_in_old_rows(self, films: Tables) -> None:
        info = await films.evolve("films", [AddColumn(Column(name="year", type="int32", doc="of the release"))])
        assert info.spec.columns == (*COLUMNS, Column(name="year", type="int32", doc="of the release"))
        await films.append("films", pa.table({"id": [9], "year": pa.array([1995], pa.int32())}))
        assert await found(films, missing("year")) == [{**row, "year": None} for row in FILMS]
        assert await found(films, equal("year", 1995)) == [{**film(9, None, None), "year": 1995}]

    async def test_a_column_that_was_dropped_is_in_the_past_alone(self, films: Tables) -> None:
        (first,) = await films.snapshots("films")
        await films.evolve("films", [DropColumn("genre")])
        assert [sorted(row) for row in await found(films, equal("id", 1))] == [["id", "stars"]]
        assert await found(films, at=At(snapshot=first.id)) == list(FILMS)
        with pytest.raises(InvalidArgument):
            await films.append("films", rows(film(9)))

    async def test_a_column_of_a_name_that_was_dropped_is_another(self, films: Tables) -> None:
        await films.evolve("films", [DropColumn("genre")])
        await films.evolve("films", [AddColumn(Column(name="genre", type="text"))])
        assert {row["genre"] for row in await found(films)} == {None}

    async def test_a_column_that_is_dropped_and_added_at_once_is_another(self, films: Tables) -> None:
        await films.evolve("films", [DropColumn("genre"), AddColumn(Column(name="genre", type="text"))])
        assert {row["genre"] for row in await found(films)} == {None}

    async def test_one_column_may_change_several_times_at_once(self, tables: Tables) -> None:
        columns = (Column(name="n", type="int32"), Column(name="m", type="int32"))
        await tables.create(TableSpec(name="numbers", columns=columns))
        await tables.append("numbers", rows({"n": 7, "m": 8}, columns=columns))
        changes = [WidenColumn("n", "int64"), RenameColumn("n", "k"), RenameColumn("m", "n"), DropColumn("n")]
        info = await tables.evolve("numbers", changes)
        assert info.spec.columns == (Column(name="k", type="int64"),)
        assert await found(tables, name="numbers") == [{"k": 7}]

    async def test_a_renamed_column_has_its_values(self, films: Tables) -> None:
        info = await films.evolve("films", [RenameColumn("genre", "kind")])
        assert [column.name for column in info.spec.columns] == ["id", "kind", "stars"]
        assert [row["kind"] for row in await found(films)] == ["drama", "crime", None, "drama"]
        assert await ids(films, equal("kind", "crime")) == [2]

    async def test_a_column_becomes_wider_and_keeps_its_values(self, tables: Tables) -> None:
        columns = (Column(name="n", type="int32"), Column(name="x", type="float32"))
        await tables.create(TableSpec(name="numbers", columns=columns))
        await tables.append("numbers", rows({"n": 7, "x": 0.5}, columns=columns))
        info = await tables.evolve("numbers", [WidenColumn("n", "int64"), WidenColumn("x", "float64")])
        await tables.append("numbers", rows({"n": 1 << 40, "x": 0.1}, columns=info.spec.columns))
        assert await found(tables, name="numbers") == [{"n": 7, "x": 0.5}, {"n": 1 << 40, "x": 0.1}]

    async def test_a_required_column_may_miss_values_once_it_is_relaxed(self, films: Tables) -> None:
        await films.evolve("films", [RelaxColumn("id")])
        await films.append("films", pa.table({"genre": ["noir"]}))
        assert await found(films, missing("id")) == [{"id": None, "genre": "noir", "stars": None}]

    @pytest.mark.parametrize(
        ("changes", "refusal"),
        [
            ([], InvalidArgument),
            ([DropColumn("year")], NotFound),
            ([RenameColumn("genre", "Stars")], AlreadyExists),
            ([AddColumn(Column(name="genre", type="text"))], AlreadyExists),
            ([AddColumn(Column(name="year", type="int32", required=True))], InvalidArgument),
            ([WidenColumn("id", "int32")], InvalidArgument),
            ([DropColumn("stars"), DropColumn("year")], NotFound),
        ],
        ids=str,
    )
    async def test_changes_of_columns_are_all_made_or_none(
        self, films: Tables, changes: list[Any], refusal: type[SoundstageError]
    ) -> None:
        with pytest.raises(refusal):
            await films.evolve("films", changes)
        assert (await films.info("films")).spec == SPEC

    async def test_a_column_that_partitions_rows_is_renamed_but_not_dropped(self, tables: Tables) -> None:
        await tables.create(BY_GENRE)
        await tables.append("films", rows(*FILMS))
        with pytest.raises(InvalidArgument):
            await tables.evolve("films", [DropColumn("genre")])
        info = await tables.evolve("films", [RenameColumn("genre", "kind")])
        assert info.spec.partitions == (PartitionField(column="kind"),)
        await tables.overwrite("films", pa.table({"id": [9], "kind": ["drama"]}))
        assert await ids(tables) == [2, 3, 9]
