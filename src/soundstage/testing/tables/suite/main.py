"""The conformance suite of the tables port.

    class TestMine(TablesSuite):
        @pytest.fixture
        async def tables(self):
            engine = MyTables()
            await engine.start()
            yield engine
            await engine.stop()

An engine that has branches subclasses `BranchingTablesSuite`, of `soundstage.testing.tables`.
"""

from __future__ import annotations

import asyncio
import itertools
from datetime import date, datetime, timedelta
from typing import Any, ClassVar

import pytest

from soundstage.core.errors import (
    AlreadyExists,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    TooLarge,
    Unavailable,
)
from soundstage.engines.tables.arrow import pa
from soundstage.engines.tables.filters import (
    ALL,
    Filter,
    at_least,
    equal,
)
from soundstage.engines.tables.port import (
    BATCH_MAX_ROWS,
    PARTITIONS_MAX,
    SUMMARY_MAX_BYTES,
    At,
    Column,
    DropColumn,
    PartitionField,
    Snapshot,
    Tables,
    TableSpec,
)
from soundstage.testing.tables.samples import (
    BY_GENRE,
    COLUMNS,
    EVERY_TYPE,
    FILMS,
    FILTERS,
    MISFITS,
    NOON,
    SPEC,
    WRONG_FILTERS,
    WRONG_SPECS,
    film,
    found,
    ids,
    rows,
)
from soundstage.testing.tables.suite.columns import ColumnChanges


class TablesSuite(ColumnChanges):
    """Subclass it and give a fixture `tables`: a started engine, empty. `writers` are those that write at once."""

    writers: ClassVar[int] = 3

    @pytest.fixture
    async def films(self, tables: Tables) -> Tables:
        """The table `films` with four rows."""
        await tables.create(SPEC)
        await tables.append("films", rows(*FILMS))
        return tables

    async def test_a_table_that_was_made_is_there_and_empty(self, tables: Tables) -> None:
        info = await tables.create(BY_GENRE)
        assert (info.spec, info.branches) == (BY_GENRE, {"main": 0})
        assert (await tables.info("films"), await tables.tables(), await found(tables)) == (info, ["films"], [])
        assert await tables.snapshots("films") == []

    async def test_a_table_is_made_once(self, tables: Tables) -> None:
        await tables.create(SPEC)
        with pytest.raises(AlreadyExists):
            await tables.create(BY_GENRE)
        assert (await tables.info("films")).spec == SPEC

    async def test_tables_are_listed_in_order(self, tables: Tables) -> None:
        for name in ("b", "films.ratings", "a", "films.tags"):
            await tables.create(TableSpec(name=name, columns=COLUMNS))
        assert await tables.tables() == ["a", "b", "films.ratings", "films.tags"]

    async def test_a_dropped_table_is_gone_and_can_be_made_again(self, films: Tables) -> None:
        assert (await films.drop("films"), await films.drop("films"), await films.tables()) == (True, False, [])
        with pytest.raises(NotFound):
            await films.info("films")
        await films.create(SPEC)
        assert await found(films) == []

    async def test_what_is_no_table_is_refused(self, tables: Tables) -> None:
        for spec in WRONG_SPECS:
            with pytest.raises(InvalidArgument):
                await tables.create(spec)
        assert await tables.tables() == []

    async def test_what_is_not_there_is_not_found(self, tables: Tables) -> None:
        attempts = (
            tables.info("films"),
            tables.append("films", rows(film(1))),
            tables.overwrite("films", rows(film(1))),
            tables.delete("films", ALL),
            tables.evolve("films", [DropColumn("genre")]),
            tables.snapshots("films"),
            found(tables),
        )
        for attempt in attempts:
            with pytest.raises(NotFound):
                await attempt

    async def test_what_is_no_name_of_a_table_is_refused_wherever_it_is_given(self, tables: Tables) -> None:
        for attempt in (tables.info("A B"), tables.drop("A B"), tables.append("A B", rows(film(1)))):
            with pytest.raises(InvalidArgument):
                await attempt

    async def test_what_was_appended_is_read(self, films: Tables) -> None:
        assert await found(films) == list(FILMS)
        await films.append("films", rows(film(9)))
        assert await found(films) == [*FILMS, film(9)]

    async def test_every_type_comes_back_as_it_was(self, tables: Tables) -> None:
        columns = tuple(Column(name=f"a_{kind}", type=kind) for kind in EVERY_TYPE)  # pyright: ignore[reportArgumentType]
        await tables.create(TableSpec(name="types", columns=(Column(name="id", type="int32"), *columns)))
        given = [{"id": at, **{f"a_{kind}": each[at] for kind, each in EVERY_TYPE.items()}} for at in range(3)]
        await tables.append("types", rows(*given, columns=(Column(name="id", type="int32"), *columns)))
        assert await found(tables, name="types") == given

    async def test_a_snapshot_tells_of_its_change(self, films: Tables) -> None:
        snapshot = await films.append("films", rows(film(9)), summary={"source": "test", "batch": "7"})
        (last, first) = await films.snapshots("films")
        assert last == snapshot
        assert (last.parent, last.change, last.rows) == (first.id, "append", 5)
        assert (last.summary, first.summary) == ({"source": "test", "batch": "7"}, {})
        assert (first.parent, first.rows, last.committed_us >= first.committed_us) == (0, 4, True)
        assert (await films.info("films")).branches == {"main": last.id}

    async def test_a_summary_is_bounded(self, films: Tables) -> None:
        with pytest.raises(InvalidArgument):
            await films.append("films", rows(film(9)), summary={"a": "x" * SUMMARY_MAX_BYTES})

    async def test_snapshots_are_listed_up_to_a_limit_the_last_first(self, films: Tables) -> None:
        made = [await films.append("films", rows(film(number))) for number in (8, 9)]
        assert await films.snapshots("films", limit=2) == made[::-1]

    async def test_optional_columns_may_be_left_out_and_their_order_does_not_matter(self, films: Tables) -> None:
        await films.append("films", pa.table({"stars": [2.5], "id": [9]}))
        assert await found(films, equal("id", 9)) == [film(9, None, 2.5)]

    async def test_values_that_fit_without_loss_are_taken(self, films: Tables) -> None:
        given = pa.table(
            {
                "id": pa.array([9], pa.int16()),
                "genre": pa.array(["drama"]).dictionary_encode(),
                "stars": pa.array([2], pa.int64()),
            }
        )
        await films.append("films", given)
        assert await found(films, equal("id", 9)) == [film(9, "drama", 2.0)]

    async def test_data_that_does_not_fit_is_refused_and_changes_nothing(self, films: Tables) -> None:
        before = await films.info("films")
        for given in MISFITS:
            for change in (films.append, films.overwrite):
                with pytest.raises(InvalidArgument):
                    await change("films", pa.table(given))
        assert (await films.info("films"), await ids(films)) == (before, [1, 2, 3, 4])

    async def test_what_is_no_stream_of_arrow_is_refused(self, films: Tables) -> None:
        with pytest.raises(InvalidArgument):
            await films.append("films", [{"id": 1}])

    async def test_a_value_too_large_for_its_column_is_refused(self, tables: Tables) -> None:
        await tables.create(TableSpec(name="small", columns=(Column(name="id", type="int32"),)))
        with pytest.raises(InvalidArgument):
            await tables.append("small", pa.table({"id": [1 << 31]}))
        await tables.append("small", pa.table({"id": [(1 << 31) - 1]}))

    async def test_a_stream_may_come_in_many_batches(self, films: Tables) -> None:
        whole = rows(*(film(number) for number in range(10, 40)))
        await films.append("films", pa.RecordBatchReader.from_batches(whole.schema, whole.to_batches(max_chunksize=7)))
        assert await ids(films, at_least("id", 10)) == list(range(10, 40))

    async def test_a_stream_that_breaks_off_changes_nothing(self, films: Tables) -> None:
        whole = rows(film(9))

        def broken() -> Any:
            yield whole.to_batches()[0]
            raise ValueError("the source is gone")

        with pytest.raises(InvalidArgument, match="the source is gone"):
            await films.append("films", pa.RecordBatchReader.from_batches(whole.schema, broken()))
        assert (len(await films.snapshots("films")), await ids(films)) == (1, [1, 2, 3, 4])

    async def test_a_scan_gives_the_rows_for_which_its_filter_holds(self, films: Tables) -> None:
        given = [(where, await ids(films, where)) for where, _ in FILTERS]
        assert given == list(FILTERS)

    async def test_what_is_no_filter_is_refused(self, films: Tables) -> None:
        for where in WRONG_FILTERS:
            for attempt in (found(films, where), films.delete("films", where)):
                with pytest.raises(InvalidArgument):
                    await attempt

    async def test_times_are_compared(self, tables: Tables) -> None:
        columns = (Column(name="at", type="instant"), Column(name="day", type="date"))
        await tables.create(TableSpec(name="times", columns=columns))
        given = [{"at": NOON + timedelta(hours=n), "day": date(2026, 11, 26 + n // 12)} for n in (0, 6, 12)]
        await tables.append("times", rows(*given, columns=columns))
        later = NOON + timedelta(hours=6)
        assert await found(tables, at_least("at", later), name="times") == given[1:]
        assert await found(tables, equal("day", date(2026, 11, 26)), name="times") == given[:2]
        for wrong in (equal("at", datetime(2026, 11, 26)), equal("at", date(2026, 11, 26)), equal("day", NOON)):
            with pytest.raises(InvalidArgument):
                await found(tables, wrong, name="times")

    async def test_a_scan_gives_the_columns_asked_for_in_that_order(self, films: Tables) -> None:
        batches = [batch async for batch in films.scan("films", equal("genre", "crime"), columns=("stars", "id"))]
        assert [batch.to_pydict() for batch in batches] == [{"stars": [5.0], "id": [2]}]
        for wrong in (("year",), (), ("id", "id")):
            with pytest.raises(InvalidArgument):
                await anext(films.scan("films", columns=wrong))

    async def test_a_scan_ends_at_its_limit(self, films: Tables) -> None:
        await films.append("films", rows(*(film(number) for number in range(10, 20))))
        batches = [batch async for batch in films.scan("films", limit=7)]
        assert sum(batch.num_rows for batch in batches) == 7

    async def test_a_limit_is_nothing_or_more(self, films: Tables) -> None:
        assert ([batch async for batch in films.scan("films", limit=0)], await films.snapshots("films", limit=0)) == (
            [],
            [],
        )
        for attempt in (anext(films.scan("films", limit=-1)), films.snapshots("films", limit=-1)):
            with pytest.raises(InvalidArgument):
                await attempt

    async def test_batches_are_bounded_and_none_is_empty(self, tables: Tables) -> None:
        await tables.create(SPEC)
        many = BATCH_MAX_ROWS * 2 + 5
        await tables.append("films", pa.table({"id": pa.array(range(many), pa.int64())}))
        sizes = [batch.num_rows async for batch in tables.scan("films", at_least("id", 5), columns=("id",))]
        assert (max(sizes) <= BATCH_MAX_ROWS, min(sizes) > 0, sum(sizes)) == (True, True, many - 5)

    async def test_a_scan_that_is_left_changes_nothing(self, films: Tables) -> None:
        scan = films.scan("films")
        await anext(scan)
        await scan.aclose()
        assert await ids(films) == [1, 2, 3, 4]

    async def test_a_scan_reads_on_what_it_began(self, tables: Tables) -> None:
        await tables.create(SPEC)
        await tables.append("films", pa.table({"id": pa.array(range(BATCH_MAX_ROWS + 9), pa.int64())}))
        scan = tables.scan("films", columns=("id",))
        rows_read = (await anext(scan)).num_rows
        await tables.delete("films", ALL)
        await tables.append("films", rows(film(1)))
        rows_read += sum([batch.num_rows async for batch in scan])
        assert rows_read == BATCH_MAX_ROWS + 9

    async def test_rows_are_deleted_by_condition(self, films: Tables) -> None:
        snapshot = await films.delete("films", equal("genre", "drama"), summary={"why": "test"})
        assert snapshot is not None
        assert (snapshot.change, snapshot.rows, snapshot.summary) == ("delete", 2, {"why": "test"})
        assert await ids(films) == [2, 3]

    @pytest.mark.parametrize(("where", "gone"), [FILTERS[number] for number in (0, 2, 8, 9, 13, 15)], ids=str)
    async def test_a_delete_takes_what_a_scan_gives(self, films: Tables, where: Filter, gone: list[int]) -> None:
        snapshot = await films.delete("films", where)
        assert (snapshot is None) == (gone == [])
        assert await ids(films) == [number for number in (1, 2, 3, 4) if number not in gone]

    async def test_a_delete_of_nothing_makes_no_snapshot(self, films: Tables) -> None:
        before = await films.info("films")
        assert await films.delete("films", equal("id", 9)) is None
        assert await films.info("films") == before

    async def test_rows_are_replaced_by_condition(self, films: Tables) -> None:
        snapshot = await films.overwrite("films", rows(film(8), film(9)), equal("genre", "drama"))
        assert (snapshot.change, snapshot.rows) == ("overwrite", 4)
        assert await ids(films) == [2, 3, 8, 9]
        assert (await films.snapshots("films"))[0] == snapshot

    async def test_what_replaces_nothing_is_there_all_the_same(self, films: Tables) -> None:
        await films.overwrite("films", rows(film(9)), equal("id", 100))
        assert await ids(films) == [1, 2, 3, 4, 9]

    async def test_without_partitions_an_overwrite_replaces_all(self, films: Tables) -> None:
        await films.overwrite("films", rows(film(9)))
        assert await ids(films) == [9]

    async def test_an_overwrite_replaces_the_partitions_it_has_rows_of(self, tables: Tables) -> None:
        await tables.create(BY_GENRE)
        await tables.append("films", rows(*FILMS))
        await tables.overwrite("films", rows(film(8, "drama"), film(9, None)))
        assert await ids(tables) == [2, 8, 9]
        await tables.overwrite("films", rows(film(10, "comedy")))
        assert await ids(tables) == [2, 8, 9, 10]

    async def test_partitions_may_be_stretches_of_time(self, tables: Tables) -> None:
        columns = (Column(name="at", type="instant"), Column(name="n", type="int32"))
        spec = TableSpec(name="events", columns=columns, partitions=(PartitionField(column="at", by="day"),))
        assert (await tables.create(spec)).spec == spec
        hours = [{"at": NOON + timedelta(hours=hour), "n": hour} for hour in (-13, 0, 11, 12)]
        await tables.append("events", rows(*hours, columns=columns))
        await tables.overwrite("events", rows({"at": NOON, "n": 99}, columns=columns))
        assert [row["n"] for row in await found(tables, name="events")] == [-13, 99, 12]

    async def test_partitions_of_several_columns_are_told_apart(self, tables: Tables) -> None:
        columns = (*COLUMNS, Column(name="day", type="date"))
        by = (PartitionField(column="genre"), PartitionField(column="day", by="month"))
        await tables.create(TableSpec(name="films", columns=columns, partitions=by))
        months = [date(2026, 1, 31), date(2026, 2, 1)]
        every = [
            {**film(n, genre), "day": day} for n, (genre, day) in enumerate(itertools.product("ab", [*months, None]))
        ]
        await tables.append("films", rows(*every, columns=columns))
        replacing = [{**film(10, "a"), "day": months[1]}, {**film(11, "b"), "day": None}]
        await tables.overwrite("films", rows(*replacing, columns=columns))
        assert await ids(tables) == [0, 2, 3, 4, 10, 11]

    async def test_rows_in_buckets_are_found_and_replaced_by_condition_alone(self, tables: Tables) -> None:
        by = (PartitionField(column="id", by="bucket", buckets=4),)
        await tables.create(TableSpec(name="films", columns=COLUMNS, partitions=by))
        await tables.append("films", rows(*FILMS))
        with pytest.raises(InvalidArgument):
            await tables.overwrite("films", rows(film(9)))
        await tables.overwrite("films", rows(film(9)), equal("id", 1))
        assert (await ids(tables), await ids(tables, equal("id", 9))) == ([2, 3, 4, 9], [9])

    async def test_more_partitions_than_may_be_touched_are_refused(self, tables: Tables) -> None:
        columns = (Column(name="day", type="int32"),)
        by = (PartitionField(column="day"),)
        await tables.create(TableSpec(name="days", columns=columns, partitions=by))
        with pytest.raises(TooLarge):
            await tables.overwrite("days", pa.table({"day": pa.array(range(PARTITIONS_MAX + 1), pa.int32())}))

    async def test_the_past_is_read_by_snapshot_and_by_time(self, films: Tables) -> None:
        (first,) = await films.snapshots("films")
        last = await films.overwrite("films", rows(film(9)))
        assert await ids(films, at=At(snapshot=first.id)) == [1, 2, 3, 4]
        assert await ids(films, at=At(time_us=last.committed_us)) == [9]
        if first.committed_us < last.committed_us:
            assert await ids(films, at=At(time_us=last.committed_us - 1)) == [1, 2, 3, 4]

    @pytest.mark.parametrize("at", [At(snapshot=12345), At(time_us=1), At(branch="nothing")], ids=str)
    async def test_a_past_that_is_not_there_is_not_found(self, films: Tables, at: At) -> None:
        with pytest.raises(NotFound):
            await ids(films, at=at)

    @pytest.mark.parametrize("at", [At(snapshot=1, time_us=1), At(branch="a", snapshot=1), At(branch="A B")], ids=str)
    async def test_a_snapshot_is_named_in_one_way(self, films: Tables, at: At) -> None:
        with pytest.raises(InvalidArgument):
            await ids(films, at=at)

    async def test_a_change_that_expects_another_snapshot_changes_nothing(self, films: Tables) -> None:
        (first,) = await films.snapshots("films")
        await films.append("films", rows(film(8)), expect=first.id)
        changes = (
            films.append("films", rows(film(9)), expect=first.id),
            films.overwrite("films", rows(film(9)), expect=0),
            films.delete("films", equal("id", 1), expect=first.id),
        )
        for change in changes:
            with pytest.raises(PreconditionFailed):
                await change
        assert await ids(films) == [1, 2, 3, 4, 8]

    async def test_a_table_without_snapshots_is_expected_to_have_none(self, tables: Tables) -> None:
        await tables.create(SPEC)
        await tables.append("films", rows(film(1)), expect=0)
        with pytest.raises(PreconditionFailed):
            await tables.append("films", rows(film(2)), expect=0)

    async def test_writers_at_once_all_get_their_turn(self, films: Tables) -> None:
        made = await asyncio.gather(*(films.append("films", rows(film(10 + n))) for n in range(self.writers)))
        history = await films.snapshots("films")
        assert {snapshot.id for snapshot in made} == {snapshot.id for snapshot in history[:-1]}
        assert [each.parent for each in history[:-1]] == [each.id for each in history[1:]]
        assert await ids(films) == [1, 2, 3, 4, *range(10, 10 + self.writers)]

    async def test_of_writers_that_expect_the_same_one_wins(self, films: Tables) -> None:
        (first,) = await films.snapshots("films")
        made = await asyncio.gather(
            *(films.append("films", rows(film(10 + n)), expect=first.id) for n in range(self.writers)),
            return_exceptions=True,
        )
        assert sum(isinstance(each, Snapshot) for each in made) == 1
        assert sum(isinstance(each, PreconditionFailed) for each in made) == self.writers - 1

    async def test_an_overwrite_beside_an_append_comes_before_or_after_it(self, films: Tables) -> None:
        await asyncio.gather(films.overwrite("films", rows(film(9))), films.append("films", rows(film(10))))
        assert await ids(films) in ([9], [9, 10])

    async def test_what_was_answered_is_there_after_a_restart(self, films: Tables) -> None:
        before = (await films.info("films"), await films.snapshots("films"))
        await films.stop()
        await films.start()
        assert (await films.info("films"), await films.snapshots("films")) == before
        assert await found(films) == list(FILMS)

    async def test_a_deadline_that_has_passed_ends_every_call_and_nothing_is_made(self, films: Tables) -> None:
        before = await films.snapshots("films")
        calls = (
            films.create(TableSpec(name="more", columns=COLUMNS), deadline_ns=0),
            films.drop("films", deadline_ns=0),
            films.tables(deadline_ns=0),
            films.info("films", deadline_ns=0),
            films.append("films", rows(film(9)), deadline_ns=0),
            films.overwrite("films", rows(film(9)), equal("id", 1), deadline_ns=0),
            films.delete("films", ALL, deadline_ns=0),
            anext(films.scan("films", deadline_ns=0)),
            films.evolve("films", [DropColumn("genre")], deadline_ns=0),
            films.snapshots("films", deadline_ns=0),
        )
        for call in calls:
            with pytest.raises(DeadlineExceeded) as refused:
                await call
            assert refused.value.outcome == "not_applied"
        assert (await films.tables(), await films.snapshots("films"), await found(films)) == (
            ["films"],
            before,
            list(FILMS),
        )

    async def test_a_call_that_has_time_is_answered(self, films: Tables) -> None:
        assert (await films.info("films", deadline_ns=1 << 62)).spec == SPEC
        await films.append("films", rows(film(9)), deadline_ns=1 << 62)
        assert [batch.num_rows async for batch in films.scan("films", equal("id", 9), deadline_ns=1 << 62)] == [1]

    async def test_a_stopped_engine_is_unavailable(self, films: Tables) -> None:
        scan = films.scan("films")
        await films.stop()
        attempts = (
            films.info("films"),
            films.tables(),
            films.append("films", rows(film(1))),
            films.delete("films", ALL),
            anext(scan),
        )
        for attempt in attempts:
            with pytest.raises(Unavailable):
                await attempt
        await films.stop()
