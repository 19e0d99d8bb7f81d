"""Files as events: our own, those of other programs with what is named, bad rows, old times, and going on."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from tests.data.parquet.conftest import Stopping, over, sent
from tests.data.timeseries.conftest import event, everything, make
from tests.data.timeseries.parquet.conftest import AT, MINUTE, SLICED, SLICES, exported, imported, in_order, some

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DataLoss, InvalidArgument, NotFound
from soundstage.core.files import File
from soundstage.core.time import Duration
from soundstage.data.timeseries import EventColumns, TimeSeries
from soundstage.data.timeseries.parquet import importing
from soundstage.runtime.jobs import Jobs
from soundstage.runtime.stage import Stage

DAY = 86_400 * 10**9

ROWS: dict[str, Any] = {
    "time_series_id": ["ada", "ada", "eve"],
    "event_time": pa.array([1, 2, 3], pa.timestamp("s", tz="UTC")),
    "event_id": ["a", "b", "c"],
    "delay": pa.array([5, None, -7]),
}


async def found(series: TimeSeries, *ids: str) -> list[tuple[str, int, str, dict[str, bytes]]]:
    events = [each for name in ids for each in await everything(series, name)]
    return [
        (
            each.time_series_id,
            int(each.event_time),
            each.event_id,
            {item.event_item_key: item.event_item_value for item in each.event_items},
        )
        for each in in_order(events)
    ]


class TestOwnFiles:
    async def test_what_was_exported_comes_back(self, stage: Stage, trips: TimeSeries, again: TimeSeries) -> None:
        await trips.write_event_records_sync(events=some())
        filled = await imported(again, (await exported(trips)).file)
        assert (filled.events, filled.items, filled.bad_rows, filled.refused) == (30, 40, 0, [])
        ids = [f"bike-{number}" for number in range(3)]
        assert await found(again, *ids) == await found(trips, *ids)

    async def test_a_file_that_lacks_rows_is_refused(
        self, trips: TimeSeries, again: TimeSeries, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = (await exported(trips)).file
        monkeypatch.setattr("soundstage.data.parquet.footers.Footer.items", 7)
        with pytest.raises(DataLoss, match=r"0 of 7"):
            await again.import_parquet(file=file)

    async def test_to_repeat_it_changes_nothing(self, trips: TimeSeries, again: TimeSeries) -> None:
        await trips.write_event_records_sync(events=some())
        file = (await exported(trips)).file
        assert (await imported(again, file)).events == (await imported(again, file)).events == 30
        assert len(await found(again, "bike-0", "bike-1", "bike-2")) == 30


class TestColumns:
    async def test_other_columns_are_items_and_a_null_is_none(self, stage: Stage, again: TimeSeries) -> None:
        rows = ROWS | {"delay": [5, 6, 7], "to": ["LIS", None, "OPO"]}
        await imported(again, await sent(stage, rows))
        assert await found(again, "ada", "eve") == [
            ("ada", 2 * 10**9, "b", {"delay": b"6"}),
            ("ada", 10**9, "a", {"delay": b"5", "to": b"LIS"}),
            ("eve", 3 * 10**9, "c", {"delay": b"7", "to": b"OPO"}),
        ]

    async def test_columns_are_named_and_joined(self, stage: Stage, again: TimeSeries) -> None:
        rows = {"from": ["LIS"], "to": ["OPO"], "no": [7], "at": [AT], "delay": [1.5], "left": [True]}
        columns = EventColumns(
            time_series_id=["from", "to"], event_time="at", event_id=["from", "no"], event_items=["delay", "left"]
        )
        await imported(again, await sent(stage, rows), columns=columns)
        assert await found(again, "LIS/OPO") == [("LIS/OPO", AT, "LIS/7", {"delay": b"1.5", "left": b"true"})]

    async def test_an_empty_part_of_an_id_has_its_place(self, stage: Stage, again: TimeSeries) -> None:
        rows = {"id": ["x"] * 3, "one": ["a", "", "a"], "two": ["", "a", "a"], "at": [AT] * 3, "k": ["v"] * 3}
        columns = EventColumns(time_series_id=["id"], event_time="at", event_id=["one", "two"], event_items=["k"])
        await imported(again, await sent(stage, rows), columns=columns)
        assert sorted(each[2] for each in await found(again, "x")) == ["/a", "a/", "a/a"]

    async def test_an_id_all_of_whose_parts_are_empty_is_none(self, stage: Stage, again: TimeSeries) -> None:
        rows = {"id": ["x"], "one": [""], "two": [""], "at": [AT], "k": ["v"]}
        columns = EventColumns(time_series_id=["id"], event_time="at", event_id=["one", "two"], event_items=["k"])
        filled = await imported(again, await sent(stage, rows), columns=columns, bad_rows_max=1)
        assert (filled.events, filled.bad_rows) == (0, 1)

    async def test_rows_without_ids_are_told_by_their_number_in_the_file(self, stage: Stage, again: TimeSeries) -> None:
        rows = {name: column for name, column in ROWS.items() if name != "event_id"} | {"delay": [1, 1, 1]}
        file = await sent(stage, rows | {"event_time": pa.array([1, 1, 1], pa.timestamp("s", tz="UTC"))})
        await imported(again, file)
        await imported(again, file)
        assert [each[2] for each in await found(again, "ada", "eve")] == [
            f"{file.sha256[:16]}/{number}" for number in (1, 2, 3)
        ]

    @pytest.mark.parametrize(
        ("times", "at"),
        [
            (pa.array([AT], pa.timestamp("ns", tz="UTC")), AT),
            (
                pa.array([datetime(2013, 1, 1, 6, tzinfo=UTC)], pa.timestamp("us", tz="Europe/Paris")),
                1_357_020_000 * 10**9,
            ),
            (["2013-01-01T06:00:00.000000001Z"], 1_357_020_000 * 10**9 + 1),
            ([AT], AT),
            (pa.array([b"1970-01-01T00:00:00Z"]), 0),
        ],
    )
    async def test_times_of_all_kinds(self, stage: Stage, again: TimeSeries, times: Any, at: int) -> None:
        await imported(again, await sent(stage, {"time_series_id": ["a"], "event_time": times, "k": ["v"]}))
        assert [each[1] for each in await found(again, "a")] == [at]

    @pytest.mark.parametrize(
        ("times", "at"),
        [
            (pa.array([datetime(2013, 1, 1, 6)], pa.timestamp("ms")), 1_357_020_000 * 10**9),
            (pa.array([date(1969, 12, 31)]), -DAY),
            (pa.array([date(1969, 12, 31)], pa.date64()), -DAY),
        ],
    )
    async def test_times_without_a_zone_are_those_of_utc_where_that_is_said(
        self, stage: Stage, again: TimeSeries, times: Any, at: int
    ) -> None:
        file = await sent(stage, {"time_series_id": ["a"], "event_time": times, "k": ["v"]})
        with pytest.raises(InvalidArgument) as refused:
            await again.import_parquet(file=file)
        assert refused.value.field == "columns.utc"
        await imported(again, file, columns=EventColumns(utc=True))
        assert [each[1] for each in await found(again, "a")] == [at]

    async def test_instants_that_are_items_are_text_as_an_index_reads_it(self, stage: Stage, again: TimeSeries) -> None:
        rows = {"time_series_id": ["a"], "event_time": [AT], "due": pa.array([1], pa.timestamp("ms", tz="UTC"))}
        await imported(again, await sent(stage, rows))
        assert (await found(again, "a"))[0][3] == {"due": b"1970-01-01T00:00:00.001Z"}

    @pytest.mark.parametrize(
        ("at", "text"),
        [
            (253_402_214_400, b"9999-12-31T00:00:00Z"),
            (-62_135_596_800, b"0001-01-01T00:00:00Z"),
            (10**12, b"1000000000000000000000"),
        ],
    )
    async def test_instants_farther_off_than_an_event_may_be_are_items_none_the_less(
        self, stage: Stage, again: TimeSeries, at: int, text: bytes
    ) -> None:
        rows = {"time_series_id": ["a"], "event_time": [AT], "until": pa.array([at], pa.timestamp("s", tz="UTC"))}
        await imported(again, await sent(stage, rows))
        assert (await found(again, "a"))[0][3] == {"until": text}

    @pytest.mark.parametrize("day", [pa.array([10**7], pa.date32()), pa.array([10**15], pa.date64())])
    async def test_a_date_that_no_calendar_has_is_a_bad_row(self, stage: Stage, again: TimeSeries, day: Any) -> None:
        file = await sent(stage, {"time_series_id": ["a"], "event_time": day, "k": ["v"]})
        filled = await imported(again, file, columns=EventColumns(utc=True), bad_rows_max=1)
        assert [each.column for each in filled.refused] == ["event_time"]

    @pytest.mark.parametrize(
        ("columns", "named"),
        [
            (EventColumns(time_series_id=["nobody"]), "nobody"),
            (EventColumns(event_items=["delay", "more"]), "more"),
            (EventColumns(event_time="delay_s"), "delay_s"),
            (EventColumns(event_time="listed"), "listed"),
            (EventColumns(event_items=["listed"]), "listed"),
            (EventColumns(time_series_id=["listed"]), "listed"),
        ],
    )
    async def test_a_column_that_is_not_there_or_of_no_use_is_refused_at_once(
        self, stage: Stage, again: TimeSeries, columns: EventColumns, named: str
    ) -> None:
        file = await sent(stage, ROWS | {"listed": [[1], [2], [3]]})
        with pytest.raises(InvalidArgument, match=f"'{named}'"):
            await again.import_parquet(file=file, columns=columns)

    async def test_a_column_without_any_value_is_no_item(self, stage: Stage, again: TimeSeries) -> None:
        rows = ROWS | {"delay": [1, 2, 3], "note": pa.nulls(3)}
        await imported(again, await sent(stage, rows))
        assert [each[3] for each in await found(again, "eve")] == [{"delay": b"3"}]

    async def test_an_unknown_namespace_is_refused_at_once(self, stage: Stage) -> None:
        with pytest.raises(NotFound):
            await stage.client(TimeSeries, "none").import_parquet(file=await sent(stage, ROWS))

    async def test_what_is_no_file_of_parquet_is_refused_at_once(self, stage: Stage, again: TimeSeries) -> None:
        with pytest.raises(InvalidArgument, match="no file of Parquet"):
            await again.import_parquet(file=await stage.files.upload(b"PAR1, he said"))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no id": ({"time_series_id": ["ada", None, "eve"]}, "time_series_id"),
    "a long id": ({"time_series_id": ["ada", "x" * 1_025, "eve"]}, "time_series_id"),
    "an id that is no text": ({"time_series_id": [b"ada", b"\xff", b"eve"]}, "time_series_id"),
    "no time": ({"event_time": pa.array([1, None, 3], pa.timestamp("s", tz="UTC"))}, "event_time"),
    "no such time": ({"event_time": ["1970-01-01T00:00:01Z", "yesterday", "1970-01-01T00:00:03Z"]}, "event_time"),
    "a time of another age": ({"event_time": pa.array([1, 10**12, 3], pa.timestamp("s", tz="UTC"))}, "event_time"),
    "a time to come": ({"event_time": pa.array([1, 4 * 10**9, 3], pa.timestamp("s", tz="UTC"))}, "event_time"),
    "no event id": ({"event_id": ["a", None, "c"]}, "event_id"),
    "an empty event id": ({"event_id": ["a", "", "c"]}, "event_id"),
    "no item": ({"delay": [5, None, -7]}, "delay"),
    "a value that no write takes": ({"delay": ["1", "x" * (4 << 20), "3"]}, "delay"),
}


async def test_long_ids_are_no_more_than_a_write_takes(stage: Stage, again: TimeSeries) -> None:
    count = 2_000
    rows = {
        "time_series_id": ["a"] * count,
        "event_time": list(range(count)),
        "event_id": [f"{number:0512d}" for number in range(count)],
    }
    many = {f"k{number}": ["v"] * count for number in range(5)}
    assert (await imported(again, await sent(stage, rows | many))).items == 5 * count


class TestBadRows:
    @pytest.mark.parametrize("why", BAD)
    async def test_one_is_told_with_its_file_row_and_column(self, stage: Stage, again: TimeSeries, why: str) -> None:
        columns, column = BAD[why]
        file = await sent(stage, ROWS | {"delay": [5, 6, -7]} | columns, name="flights.parquet")
        with pytest.raises(InvalidArgument, match=rf"row 2 of the file 'flights.parquet', column '{column}'"):
            await imported(again, file)

    @pytest.mark.parametrize("why", BAD)
    async def test_those_within_the_bound_are_left_out_and_told(
        self, stage: Stage, again: TimeSeries, why: str
    ) -> None:
        columns, column = BAD[why]
        filled = await imported(again, await sent(stage, ROWS | {"delay": [5, 6, -7]} | columns), bad_rows_max=1)
        assert (filled.events, filled.bad_rows) == (2, 1)
        assert [(each.row, each.column) for each in filled.refused] == [(2, column)]
        assert [each[2] for each in await found(again, "ada", "eve")] == ["a", "c"]

    async def test_the_first_one_too_many_is_told(self, stage: Stage, again: TimeSeries) -> None:
        rows = {
            "time_series_id": ["a"] * 9,
            "event_time": list(range(9)),
            "event_id": ["x", *[None] * 8],
            "k": ["v"] * 9,
        }
        with pytest.raises(InvalidArgument, match=r"row 5 of the file.*, and 3 rows before it"):
            await imported(again, await sent(stage, rows), bad_rows_max=3)

    async def test_a_hundred_are_told_one_by_one(self, stage: Stage, again: TimeSeries) -> None:
        rows = {
            "time_series_id": ["a"] * 200,
            "event_time": list(range(200)),
            "event_id": pa.nulls(200, pa.string()),
            "k": ["v"] * 200,
        }
        filled = await imported(again, await sent(stage, rows, row_group_size=7), bad_rows_max=200)
        assert (filled.events, filled.bad_rows) == (0, 200)
        assert [each.row for each in filled.refused] == list(range(1, 101))

    async def test_a_blocked_id_is_one(self, stage: Stage) -> None:
        trips = await make(stage, blocked_ids=["eve"])
        with pytest.raises(InvalidArgument, match=r"row 3 .*blocked"):
            await imported(trips, await sent(stage, ROWS | {"delay": [1, 2, 3]}))


class TestOldTimes:
    KEPT: ClassVar[dict[str, Any]] = {
        "retention": {"close_after": "30d", "delete_after": "60d"},
        "time_partition": {"seconds_per_slice": "1d"},
    }

    async def aged(self, stage: Stage, *days: float) -> File:
        now = stage.environment.now_ns()
        rows = {
            "time_series_id": ["a"] * len(days),
            "event_time": [now - round(each * DAY) for each in days],
            "event_id": [f"e{number}" for number in range(len(days))],
            "k": ["v"] * len(days),
        }
        return await sent(stage, rows)

    async def test_the_namespace_says_how_old_an_event_may_be(self, stage: Stage) -> None:
        trips = await make(stage, **self.KEPT)
        with pytest.raises(InvalidArgument, match=r"row 2 .*'event_time'.*longer ago"):
            await imported(trips, await self.aged(stage, 0, 1))

    @pytest.mark.parametrize("limit", ["0s", "25d"])
    async def test_this_job_alone_may_take_older_ones_in_slices_of_their_own(self, stage: Stage, limit: str) -> None:
        trips = await make(stage, **self.KEPT)
        filled = await imported(trips, await self.aged(stage, 0, 3, 20), accept_limit=Duration.parse(limit))
        assert filled.events == len(await found(trips, "a")) == 3
        assert len((await trips.list_slices()).slices) == 3
        with pytest.raises(InvalidArgument, match="longer ago"):
            await trips.write_event_records_sync(events=[event(stage.environment.now_ns() - DAY)])

    async def test_what_is_shown_no_more_is_taken_by_none(self, stage: Stage) -> None:
        trips = await make(stage, **self.KEPT)
        with pytest.raises(InvalidArgument, match=r"row 1 .*longer ago"):
            await imported(trips, await self.aged(stage, 30.5), accept_limit=Duration(0))

    async def test_more_than_that_cannot_be_asked_for(self, stage: Stage) -> None:
        trips = await make(stage, **self.KEPT)
        with pytest.raises(InvalidArgument) as refused:
            await trips.import_parquet(file=await self.aged(stage, 1), accept_limit=Duration.parse("31d"))
        assert refused.value.field == "accept_limit"

    async def test_what_is_stored_already_is_no_bad_row_however_old(self, stage: Stage) -> None:
        trips = await make(stage, **self.KEPT)
        file = await self.aged(stage, 0, 3, 20)
        await imported(trips, file, accept_limit=Duration(0))
        filled = await imported(trips, file)
        assert (filled.events, filled.bad_rows) == (3, 0)


@pytest.mark.parametrize("calls", [0, 1, 3, 8])
async def test_it_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    monkeypatch.setattr(importing, "PIECE_ROWS", 3)
    monkeypatch.setattr("soundstage.data.parquet.files.BATCH_ROWS", 4)
    monkeypatch.setattr("soundstage.data.parquet.files.STEP_ROWS", 4)
    engine = Stopping(SystemEnvironment(), SLICES)
    rows = {
        "time_series_id": [f"bike-{number % 3}" for number in range(20)],
        "event_time": [AT + number * MINUTE for number in range(20)],
        "k": [None if number == 7 else str(number) for number in range(20)],
    }
    async with over(engine, tmp_path) as stage:
        trips = await make(stage, **SLICED)
        file = await sent(stage, rows)
        engine.left = calls
        job = await trips.import_parquet(file=file, bad_rows_max=1)
        await engine.stopped.wait()
    engine.left = None
    async with over(engine, tmp_path) as stage:
        outcome = await stage.client(Jobs).result(job_id=job.job_id, wait=Duration.parse("60s"))
        assert (outcome.state, outcome.error) == ("succeeded", None)
        assert outcome.result is not None
        assert (outcome.result["events"], outcome.result["bad_rows"]) == (19, 1)
        trips = stage.client(TimeSeries, "trips")
        assert len(await found(trips, "bike-0", "bike-1", "bike-2")) == 19


async def test_rows_that_were_checkpointed_are_not_stored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PIECE_ROWS", 4)
    monkeypatch.setattr("soundstage.data.parquet.files.BATCH_ROWS", 4)
    monkeypatch.setattr("soundstage.data.parquet.files.STEP_ROWS", 4)
    engine = Stopping(SystemEnvironment(), SLICES)
    rows = {"time_series_id": ["a"] * 40, "event_time": [AT + n for n in range(40)], "k": ["v"] * 40}
    async with over(engine, tmp_path) as stage:
        trips = await make(stage)
        file = await sent(stage, rows)
        engine.left = 7
        job = await trips.import_parquet(file=file)
        await engine.stopped.wait()
    engine.left = 100
    async with over(engine, tmp_path) as stage:
        await stage.client(Jobs).result(job_id=job.job_id, wait=Duration.parse("60s"))
    assert engine.left > 100 - 5
