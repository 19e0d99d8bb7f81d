"""Export to Parquet and import from it by a served stage that is killed while it works, and on the command line."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pytest
from tests.e2e.conftest import Cli, Start
from tests.e2e.processes import Running
from tests.e2e.test_transfers import ITEMS, QUICK, RECORDS, contents, fill, is_under_way

from soundstage import connect_sync
from soundstage.client import SyncConnection
from soundstage.core.files import File
from soundstage.core.job import JobInfo
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.time import Duration
from soundstage.data.kv import SyncKeyValue
from soundstage.runtime.jobs import SyncJobs
from soundstage.runtime.namespaces import SyncNamespaces

MINUTE = Duration.parse("60s")


def ended(connection: SyncConnection, job_id: str) -> JobInfo:
    """The job, which succeeded."""
    outcome = connection.client(SyncJobs).result(job_id=job_id, wait=MINUTE)
    assert (outcome.state, outcome.error) == ("succeeded", None)
    return connection.client(SyncJobs).get(job_id=job_id)


def killed_amid(process: Running, connection: SyncConnection, job_id: str) -> int:
    """The process is gone, if it can be while it works on the job; how many attempts that takes, at least."""
    attempts = 2 if is_under_way(connection, job_id) else 1
    process.kill()
    return attempts


@pytest.mark.slow
def test_jobs_go_on_after_their_process_was_killed(start: Start, tmp_path: Path) -> None:
    process = start("up", "--port", "0", variables=QUICK)
    with connect_sync(process.ready()) as connection:
        fill(connection)
        connection.client(SyncNamespaces).put(namespace=NamespaceSpec(name="again", abstraction="kv"))
        exporting = connection.client(SyncKeyValue, "films").export_parquet().job_id
        attempts = killed_amid(process, connection, exporting)
    process = start("up", "--port", "0", variables=QUICK)
    with connect_sync(process.ready()) as connection:
        info = ended(connection, exporting)
        assert info.attempt >= attempts
        file: File = info.files[0]
        importing = connection.client(SyncKeyValue, "again").import_parquet(file=file).job_id
        attempts = killed_amid(process, connection, importing)
    process = start("up", "--port", "0", variables=QUICK)
    with connect_sync(process.ready()) as connection:
        assert ended(connection, importing).attempt >= attempts
        copied = sorted(contents(connection, "again"), key=repr)
        assert len(copied) == RECORDS * ITEMS
        assert copied == sorted(contents(connection, "films"), key=repr)
    process.stop()
    blobs = [path for path in (tmp_path / "soundstage-data" / "blobs" / "objects").glob("*/*") if path.is_file()]
    assert len(blobs) == 1


@pytest.mark.slow
def test_a_namespace_goes_to_parquet_and_back_on_the_command_line(start: Start, cli: Cli, tmp_path: Path) -> None:
    url = start("up", "--port", "0", variables=QUICK).ready()
    for name in ("films", "again"):
        cli("namespaces", "put", "--namespace.name", name, "--namespace.abstraction", "kv", "--url", url)
    cli("kv", "put-items", "--namespace", "films", "--id", "heat", "--item", "year=1995", "--url", url)
    out = cli("kv", "export-parquet", "--namespace", "films", "--out", "tables", "--url", url, "--output", "json")
    assert (out.json["records"], out.json["items"]) == (1, 1)
    assert os.listdir(tmp_path / "tables") == ["films.parquet"]
    rows = duckdb.execute(
        "SELECT id, decode(key), decode(value) FROM read_parquet(?)", [f"{tmp_path}/tables/films.parquet"]
    )
    assert rows.fetchall() == [("heat", "year", "1995")]
    file = "tables/films.parquet"
    back = cli("kv", "import-parquet", "--namespace", "again", "--file", file, "--url", url, "--output", "json")
    assert back.json["items"] == 1
    got = cli("kv", "get-items", "--namespace", "again", "--id", "heat", "--url", url, "--output", "json")
    assert got.json["items"][0]["value"] == "1995"
