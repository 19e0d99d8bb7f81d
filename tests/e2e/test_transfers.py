"""Export, import and copy by a served stage that is killed while it works, and on the command line."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Cli, Start

from soundstage import connect_sync
from soundstage.client import SyncConnection
from soundstage.core.errors import SoundstageError
from soundstage.core.files import File
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.time import Duration
from soundstage.data.kv import SyncKeyValue
from soundstage.data.kv.api import PutItem
from soundstage.runtime.jobs import SyncJobs
from soundstage.runtime.namespaces import SyncNamespaces
from soundstage.runtime.transfer.exporting import PART_BYTES

QUICK = {
    "SOUNDSTAGE_JOBS__POLL_INTERVAL": "10ms",
    "SOUNDSTAGE_JOBS__LEASE": "1s",
    "SOUNDSTAGE_JOBS__ATTEMPTS": "50",
    "SOUNDSTAGE_ENGINES__DEFAULT__DURABILITY": "os",
}
RECORDS, ITEMS, SIZE = 5 * PART_BYTES // (1 << 20), 16, 64 << 10
"""Some parts' worth of bytes that do not compress."""

TRIES = 5


def fill(connection: SyncConnection) -> None:
    connection.client(SyncNamespaces).put(namespace=NamespaceSpec(name="films", abstraction="kv"))
    kv, chance = connection.client(SyncKeyValue, "films"), random.Random(1)
    for number in range(RECORDS):
        items = [PutItem(key=b"%d" % key, value=chance.randbytes(SIZE)) for key in range(ITEMS)]
        kv.put_items(id=f"film-{number}", items=items)


def contents(connection: SyncConnection, namespace: str) -> Iterator[tuple[str, Any]]:
    for page in connection.client(SyncKeyValue, namespace).scan_items.pages():
        for record in page.records:
            yield from ((record.id, item) for item in record.items)


def begin(connection: SyncConnection, operation: str, file: File | None, to: str) -> str:
    """The id of a job that exports `films`, copies it, or imports its `file`."""
    namespaces = connection.client(SyncNamespaces)
    if operation == "export":
        return namespaces.export(name="films").job_id
    if operation == "copy":
        return namespaces.copy(name="films", to=to).job_id
    assert file is not None
    return namespaces.import_(name=to, file=file).job_id


def is_under_way(connection: SyncConnection, job_id: str) -> bool:
    """Whether the job has begun and not ended; one that ends before anybody looks was too quick."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        info = connection.client(SyncJobs).get(job_id=job_id)
        if info.progress.done > 0:
            return info.state == "running"
    raise AssertionError("the job does not come on")


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["export", "import", "copy"])
def test_a_job_goes_on_after_its_process_was_killed(start: Start, tmp_path: Path, operation: str) -> None:
    process = start("up", "--port", "0", variables=QUICK)
    with connect_sync(process.ready()) as connection:
        fill(connection)
        file = None
        if operation == "import":
            file = connection.client(SyncNamespaces).export(name="films").result().file
        for number in range(TRIES):
            again, job_id = f"again-{number}", begin(connection, operation, file, f"again-{number}")
            if is_under_way(connection, job_id):
                break
        else:
            pytest.fail("every job had ended when it was looked at")
        process.kill()
    process = start("up", "--port", "0", variables=QUICK)
    with connect_sync(process.ready()) as connection:
        outcome = connection.client(SyncJobs).result(job_id=job_id, wait=Duration.parse("60s"))
        assert (outcome.state, outcome.error) == ("succeeded", None)
        assert connection.client(SyncJobs).get(job_id=job_id).attempt >= 2
        if operation == "export":
            connection.client(SyncNamespaces).import_(name=again, file=outcome.files[0]).result()
        copied = sorted(contents(connection, again), key=repr)
        assert len(copied) == RECORDS * ITEMS
        assert copied == sorted(contents(connection, "films"), key=repr)
        with pytest.raises(SoundstageError, match="holds records"):
            connection.client(SyncNamespaces).copy(name="films", to=again)
    process.stop()
    blobs = [path for path in (tmp_path / "soundstage-data" / "blobs" / "objects").glob("*/*") if path.is_file()]
    assert len(blobs) == {"copy": 0, "import": 1, "export": number + 1}[operation]


@pytest.mark.slow
def test_a_namespace_goes_to_a_file_and_back_on_the_command_line(start: Start, cli: Cli, tmp_path: Path) -> None:
    url = start("up", "--port", "0", variables=QUICK).ready()
    cli("namespaces", "put", "--namespace.name", "films", "--namespace.abstraction", "kv", "--url", url)
    cli("kv", "put-items", "--namespace", "films", "--id", "heat", "--item", "year=1995", "--url", url)
    out = cli("namespaces", "export", "--name", "films", "--out", "backup", "--url", url, "--output", "json")
    assert (out.json["records"], out.json["items"]) == (1, 1)
    assert os.listdir(tmp_path / "backup") == ["films.soundstage.zst"]
    file = "backup/films.soundstage.zst"
    back = cli("namespaces", "import", "--name", "again", "--file", file, "--url", url, "--output", "json")
    assert back.json["namespace"]["name"] == "again"
    cli("namespaces", "copy", "--name", "again", "--to", "third", "--url", url)
    got = cli("kv", "get-items", "--namespace", "third", "--id", "heat", "--url", url, "--output", "json")
    assert json.loads(got.out)["items"][0]["value"] == "1995"
