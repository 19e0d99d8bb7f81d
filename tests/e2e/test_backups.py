"""A stage that is backed up while it serves, and what is restored of it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.e2e.conftest import Cli, Start
from tests.e2e.web import ask

pytestmark = pytest.mark.slow

MAKE = ("namespaces", "put", "--namespace.name", "films", "--namespace.abstraction", "kv")
PUT = {"namespace": "films", "items": [{"key": "YQ==", "value": "dg=="}, {"key": "Yg==", "value": "dg=="}]}


@pytest.mark.parametrize("workers", [(), ("--workers", "jobs=1")], ids=["one process", "a worker for jobs"])
def test_all_that_was_answered_before_a_backup_is_in_it(
    start: Start, cli: Cli, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    url = start("up", "--port", "0", *workers).ready()
    assert cli(*MAKE, "--url", url).code == 0
    answered: list[int] = []
    begun, stopping = threading.Event(), threading.Event()

    def write() -> None:
        while not stopping.is_set():
            number = len(answered)
            assert ask(f"{url}/v1/kv/put_items", {**PUT, "id": str(number)}).status == 200
            answered.append(number)
            if number == 20:
                begun.set()

    writing = threading.Thread(target=write)
    writing.start()
    try:
        assert begun.wait(60)
        before = len(answered)
        made = cli("backups", "create", "--name", "now", "--url", url)
    finally:
        stopping.set()
        writing.join()
    assert made.code == 0, made.err
    assert {each["engine"] for each in made.json["engines"]} == {"default", "blobs"}
    folder = tmp_path / "soundstage-data" / "backups" / "now"
    assert made.json["folder"] == str(folder)
    assert cli("data", "restore", str(folder), "--data", "restored").code == 0
    records = cli("kv", "scan-items", "--namespace", "films", "--all-pages", "--data", "restored").json["records"]
    found = {int(record["id"]): len(record["items"]) for record in records}
    assert set(range(before)) <= set(found) <= set(range(len(answered) + 1))
    assert set(found.values()) <= {2}


def test_a_folder_that_is_served_is_backed_up_by_its_stage(start: Start, cli: Cli) -> None:
    url = start("up", "--port", "0").ready()
    ended = cli("data", "backup", "copy")
    assert (ended.code, f"soundstage backups create --url {url}" in ended.err) == (2, True)
