"""Events from Parquet and to it by a served stage that is killed while it works, and on the command line."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.e2e.conftest import Cli, Start
from tests.e2e.test_parquet import ended, killed_amid
from tests.e2e.test_transfers import QUICK

from soundstage import connect_sync
from soundstage.core.message import Instant
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.timeseries import SyncTimeSeries, TimeInterval
from soundstage.runtime.namespaces import SyncNamespaces

EVENTS = 60_000
AT = 1_357_000_000 * 10**9
ALL = TimeInterval(start=Instant(AT), end=Instant(AT + EVENTS * 10**9))
KNOBS = {"time_partition": {"seconds_per_slice": "1h", "seconds_per_bucket": "15m"}}


def source(path: Path) -> Path:
    """A file of another program: an event a second, of a hundred ids."""
    numbers = range(EVENTS)
    columns = {
        "time_series_id": [f"bike-{number % 100}" for number in numbers],
        "event_time": [AT + number * 10**9 for number in numbers],
        "event_id": [str(number) for number in numbers],
        "note": [f"{number:064d}" for number in numbers],
    }
    pq.write_table(pa.table(columns), path, row_group_size=10_000)
    return path


@pytest.mark.slow
def test_jobs_go_on_after_their_process_was_killed(start: Start, tmp_path: Path) -> None:
    process = start("up", "--port", "0", variables=QUICK)
    with connect_sync(process.ready()) as connection:
        spec = NamespaceSpec(name="trips", abstraction="timeseries", config=KNOBS)
        connection.client(SyncNamespaces).put(namespace=spec)
        file = connection.files.upload(source(tmp_path / "rows.parquet"))
        importing = connection.client(SyncTimeSeries, "trips").import_parquet(file=file).job_id
        attempts = killed_amid(process, connection, importing)
    process = start("up", "--port", "0", variables=QUICK)
    with connect_sync(process.ready()) as connection:
        assert ended(connection, importing).attempt >= attempts
        exporting = connection.client(SyncTimeSeries, "trips").export_parquet(time_interval=ALL).job_id
        attempts = killed_amid(process, connection, exporting)
    process = start("up", "--port", "0", variables=QUICK)
    with connect_sync(process.ready()) as connection:
        info = ended(connection, exporting)
        assert info.attempt >= attempts
        connection.files.download(info.files[0], tmp_path / "back.parquet")
    process.stop()
    same = duckdb.execute(
        "SELECT count(*), count(DISTINCT b.event_id) FROM read_parquet(?) a JOIN read_parquet(?) b "
        "ON a.event_id = b.event_id AND a.time_series_id = b.time_series_id "
        "AND a.event_time = epoch_ns(b.event_time) AND a.note = decode(b.event_items['note'])",
        [f"{tmp_path}/rows.parquet", f"{tmp_path}/back.parquet"],
    )
    assert same.fetchall() == [(EVENTS, EVENTS)]
    assert pq.read_metadata(tmp_path / "back.parquet").num_rows == EVENTS


@pytest.mark.slow
def test_events_go_to_parquet_and_back_on_the_command_line(start: Start, cli: Cli, tmp_path: Path) -> None:
    url = start("up", "--port", "0", variables=QUICK).ready()
    for name in ("trips", "again"):
        cli("namespaces", "put", "--namespace.name", name, "--namespace.abstraction", "timeseries", "--url", url)
    rows = {"bike": ["7", "7"], "at": ["2013-01-01T06:00:00Z", "2013-01-01T07:00:00Z"], "stop": ["Nation", "Ternes"]}
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    day = '{"start": "2013-01-01T00:00:00Z", "end": "2013-01-02T00:00:00Z"}'
    columns = '{"time_series_id": ["bike"], "event_time": "at"}'
    given = ("--namespace", "trips", "--file", "rows.parquet", "--columns", columns)
    filled = cli("timeseries", "import-parquet", *given, "--url", url, "--output", "json")
    assert (filled.json["events"], filled.json["bad_rows"]) == (2, 0)
    given = ("--namespace", "trips", "--time-interval", day, "--out", "tables")
    out = cli("timeseries", "export-parquet", *given, "--url", url, "--output", "json")
    assert out.json["events"] == 2
    assert os.listdir(tmp_path / "tables") == ["trips.parquet"]
    given = ("--namespace", "again", "--file", "tables/trips.parquet")
    back = cli("timeseries", "import-parquet", *given, "--url", url, "--output", "json")
    assert back.json["events"] == 2
    given = ("--namespace", "again", "--time-series-id", "7", "--time-interval", day)
    read = cli("timeseries", "read-event-records", *given, "--url", url, "--output", "json")
    assert [each["event_items"][0]["event_item_value"] for each in read.json["records"]] == ["Ternes", "Nation"]
