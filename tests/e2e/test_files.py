"""Files of a served stage: more of them than there is memory for, and never a path of the server's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from tests.e2e.conftest import Cli, Start
from tests.e2e.processes import Place

MIB = 1 << 20
SIZE = 1024 * MIB
GROWTH_MAX = 48 * MIB
"""How much more memory a stage may take for a file of whatever size: some chunks, and what allocators keep."""


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def blocks() -> Iterator[bytes]:
    block = os.urandom(MIB)
    for number in range(SIZE // MIB):
        yield number.to_bytes(8, "big") + block[8:]


@pytest.mark.slow
def test_a_large_file_goes_through_with_little_memory(start: Start) -> None:
    process = start("up", "--port", "0")
    url = process.ready()
    before = peak_bytes(process.pid)
    sent, came = sha256(), sha256()

    def body() -> Iterator[bytes]:
        for block in blocks():
            sent.update(block)
            yield block

    with httpx2.Client(base_url=url, timeout=120) as client:
        answer = client.post("/v1/blobs", content=body())
        assert answer.status_code == 201
        assert answer.json()["sha256"] == sent.hexdigest()
        with client.stream("GET", answer.headers["location"]) as response:
            for part in response.iter_raw():
                came.update(part)
    assert came.hexdigest() == sent.hexdigest()
    assert peak_bytes(process.pid) - before < GROWTH_MAX


@pytest.mark.slow
def test_files_go_to_a_stage_elsewhere_and_back(url: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_bytes(b"hello")
    blob = cli("files", "upload", "talk.txt", "--url", url, "--output", "json").json["files"][0]["blob"]
    assert cli("files", "download", blob, "--url", url, "--out", "back").code == 0
    assert (tmp_path / "back" / "talk.txt").read_bytes() == b"hello"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Place(tmp_path_factory.mktemp("files")) as place:
        yield place.start("up", "--port", "0").ready()


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/etc/passwd", "../../../../etc/passwd", "file:///etc/passwd", "path:/etc/passwd"])
def test_a_server_opens_no_path_that_a_caller_names(url: str, path: str) -> None:
    with httpx2.Client(base_url=url) as client:
        got = client.get(httpx2.URL(f"{url}/v1/blobs/" + path.replace("/", "%2F")))
        put = client.put(httpx2.URL(f"{url}/v1/blobs/" + path.replace("/", "%2F")), content=b"x")
    for answer in (got, put):
        assert answer.status_code == 400
        assert json.loads(answer.content)["field"] == "blob"
