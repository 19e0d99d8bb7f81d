"""schemathesis over the whole description of a stage, in both formats, open and guarded, with every check on."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from tests.e2e.conftest import Cli, Start

ROOT = Path(__file__).resolve().parents[2]
SEED = 20_261_126
EXAMPLES = 10
"""Of each operation, format and way to be wrong."""

ACCEPT = "text/event-stream, */*;q=0.5"
"""Feeds are followed as events, of which schemathesis takes a few; it would wait for the end of lines."""

QUICK = {"SOUNDSTAGE_CONTROL__POLL_INTERVAL": "10ms"}
"""Changes reach those who follow them at once."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def schemathesis(url: str, *arguments: str) -> str:
    """The report of a run without failures; it names the seed, and commands that repeat what failed."""
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(ROOT / "tests/e2e/schemathesis.toml")),
            *("run", f"{url}/openapi.json", "--checks", "all", "--seed", str(SEED), "-n", str(EXAMPLES)),
            *("-H", f"Accept: {ACCEPT}", *arguments),
        ],
        cwd=ROOT,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.e2e.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    print(ended.stdout)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def fill(url: str, **headers: str) -> None:
    """The namespace that the examples name exists, and is not empty."""
    with httpx2.Client(base_url=url, headers=headers) as client:
        for path, message in (
            ("namespaces/put", {"namespace": {"name": "example", "abstraction": "kv"}}),
            ("kv/put_items", {"namespace": "example", "id": "example", "items": [{"key": "aGVsbG8=", "value": ""}]}),
        ):
            assert client.post(f"/v1/{path}", json=message).status_code == 200


@contextmanager
def stirred(url: str, **headers: str) -> Generator[None]:
    """Namespaces change all the time, so that whoever follows a feed of changes hears of some."""
    ended = threading.Event()

    def stir() -> None:
        with httpx2.Client(base_url=url, headers=headers) as client:
            for number in itertools.count():
                if ended.wait(0.02):
                    return
                spec = {"name": "stirred", "abstraction": "kv", "quotas": {"burst": f"{number % 2 + 1}s"}}
                client.post("/v1/namespaces/put", json={"namespace": spec})

    thread = threading.Thread(target=stir)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def operations(report: str) -> int:
    """How many operations were tested."""
    found = re.search(r"Tested: (\d+)", report)
    assert found is not None
    return int(found[1])


def test_an_open_stage_is_as_it_is_described(start: Start) -> None:
    url = start("up", "--port", "0", variables=QUICK).ready()
    fill(url)
    with stirred(url):
        report = schemathesis(url)
    assert operations(report) >= 18
    assert f"Seed: {SEED}" in report


def test_a_guarded_stage_is_as_it_is_described(start: Start, cli: Cli) -> None:
    bearer = cli("tokens", "create", "--name", "tester", "--roles", "admin", "--output", "json").json["bearer"]
    url = start("up", "--port", "0", variables=QUICK | {"SOUNDSTAGE_AUTH__MODE": "tokens"}).ready()
    fill(url, authorization=f"Bearer {bearer}")
    # Each operation with and without the token; every way to be wrong is gone through where none is asked for.
    phases = "examples,fuzzing,stateful"
    with stirred(url, authorization=f"Bearer {bearer}"):
        report = schemathesis(url, "-H", f"Authorization: Bearer {bearer}", "--phases", phases)
    assert operations(report) >= 18
