"""Changes of a table's columns, before any engine makes them."""

from __future__ import annotations

import pytest

from soundstage.core.errors import AlreadyExists, InvalidArgument, NotFound, SoundstageError
from soundstage.engines.tables.evolution import evolved
from soundstage.engines.tables.port import (
    AddColumn,
    Column,
    ColumnChange,
    DropColumn,
    PartitionField,
    RelaxColumn,
    RenameColumn,
    TableSpec,
    WidenColumn,
)

SPEC = TableSpec(
    name="films",
    columns=(
        Column(name="id", type="int32", required=True),
        Column(name="genre", type="text"),
        Column(name="stars", type="float32"),
    ),
    partitions=(PartitionField(column="genre"),),
)


def names(spec: TableSpec) -> list[str]:
    return [column.name for column in spec.columns]


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ([AddColumn(Column(name="year", type="int32"))], ["id", "genre", "stars", "year"]),
        ([DropColumn("stars")], ["id", "genre"]),
        ([RenameColumn("stars", "rating")], ["id", "genre", "rating"]),
        (
            [RenameColumn("stars", "rating"), AddColumn(Column(name="stars", type="text"))],
            ["id", "genre", "rating", "stars"],
        ),
        ([DropColumn("stars"), AddColumn(Column(name="stars", type="text"))], ["id", "genre", "stars"]),
    ],
    ids=str,
)
def test_changes_are_made_one_after_another(changes: list[ColumnChange], left: list[str]) -> None:
    assert names(evolved(SPEC, changes)) == left


def test_a_column_becomes_wider_and_may_miss_values() -> None:
    found = evolved(SPEC, [WidenColumn("id", "int64"), WidenColumn("stars", "float64"), RelaxColumn("id")])
    assert [(each.type, each.required) for each in found.columns] == [
        ("int64", False),
        ("text", False),
        ("float64", False),
    ]


def test_partitions_follow_a_column_that_is_renamed() -> None:
    found = evolved(SPEC, [RenameColumn("genre", "kind")])
    assert found.partitions == (PartitionField(column="kind"),)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ([], InvalidArgument),
        ([DropColumn("year")], NotFound),
        ([RenameColumn("year", "when")], NotFound),
        ([RelaxColumn("year")], NotFound),
        ([WidenColumn("year", "int64")], NotFound),
        ([DropColumn("genre")], InvalidArgument),
        ([RenameColumn("stars", "ID")], AlreadyExists),
        ([AddColumn(Column(name="Genre", type="text"))], AlreadyExists),
        ([AddColumn(Column(name="year", type="int32", required=True))], InvalidArgument),
        ([AddColumn(Column(name="a year", type="int32"))], InvalidArgument),
        ([WidenColumn("genre", "int64")], InvalidArgument),
        ([WidenColumn("stars", "int64")], InvalidArgument),
    ],
    ids=str,
)
def test_what_cannot_be_changed_is_refused(changes: list[ColumnChange], refusal: type[SoundstageError]) -> None:
    with pytest.raises(refusal):
        evolved(SPEC, changes)
