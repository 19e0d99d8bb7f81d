"""How `soundstage up` ends: drained by the first signal, at once by the second."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.e2e.chores import installed
from tests.e2e.conftest import Cli, Start
from tests.e2e.processes import WITHIN_S, Running, until
from tests.e2e.web import ask

pytestmark = pytest.mark.slow

BODY = b'{"namespace":"profiles","id":"u1","items":[{"key":"bmFtZQ==","value":"QWRh"}]}'


class SlowCall:
    """A call whose body is still on its way, so that it is under way for as long as a test likes."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.socket = socket.create_connection((parts.hostname, parts.port or 0), timeout=WITHIN_S)
        head = (
            f"POST /v1/kv/put_items HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(BODY)}\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"
        )
        self.socket.sendall(head.encode())
        # The server says so once the call has begun and waits for the body.
        assert self.socket.recv(1_000).startswith(b"HTTP/1.1 100")

    def answer(self) -> tuple[int, dict[str, object]]:
        """Status and body, after the rest of the request was sent."""
        self.socket.sendall(BODY)
        received = b""
        with self.socket:
            while part := self.socket.recv(65_536):
                received += part
        head, _, body = received.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)

    def is_broken_off(self) -> bool:
        """Whether the server went away without an answer."""
        with self.socket, suppress(ConnectionError):
            return self.socket.recv(1) == b""
        return True


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def stage(start: Start, tmp_path: Path) -> Running:
    """A stage that waits long for calls under way, with a namespace to call."""
    (tmp_path / "stage.toml").write_text('[namespaces.profiles]\nabstraction = "kv"\n[http]\ndrain_timeout = "1h"\n')
    return start("up", "--stage", "stage.toml", "--port", "0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(start: Start, number: signal.Signals) -> None:
    stage = start("up", "--port", "0")
    stage.ready()
    stage.signal(number)
    assert stage.ended().code == 0


@pytest.mark.parametrize("workers", [(), ("--workers", "http=1")], ids=["alone", "workers"])
def test_work_in_a_thread_that_never_ends_keeps_nobody(start: Start, tmp_path: Path, workers: tuple[str, ...]) -> None:
    drained = {"SOUNDSTAGE_HTTP__DRAIN_TIMEOUT": "100ms", "SOUNDSTAGE_CONTROL__DRAIN_TIMEOUT": "100ms"}
    stage = start("up", "--port", "0", *workers, variables=installed(tmp_path) | drained)
    url = urlsplit(stage.ready())
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=WITHIN_S) as calling:
        head = f"POST /v1/chores/stuck HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
        calling.sendall(f"{head}Content-Length: 2\r\n\r\n{{}}".encode())
        notes = tmp_path / "notes"
        until(lambda: notes.exists() and notes.read_text().endswith("\n"))
        pids = [stage.pid, int(notes.read_text().split()[1])]
        stage.signal(signal.SIGTERM)
        assert stage.ended().code == 0
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_ctrl_c_on_its_terminal_ends_it_with_0(start: Start) -> None:
    stage = start("up", "--port", "0", terminal=80)
    stage.ready()
    stage.type(b"\x03")
    ended = stage.ended()
    assert ended.code == 0
    assert "Traceback" not in ended.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_calls_under_way_are_answered_before_it_ends(stage: Running, cli: Cli, number: signal.Signals) -> None:
    call = SlowCall(stage.ready())
    stage.signal(number)
    assert call.answer()[0] == 200
    assert stage.ended().code == 0
    kept = cli("kv", "get-items", "--namespace", "profiles", "--id", "u1", "--stage", "stage.toml").json
    assert [item["value"] for item in kept["items"]] == ["Ada"]


def test_while_it_drains_it_says_so_and_takes_no_further_calls(stage: Running) -> None:
    url = stage.ready()
    call = SlowCall(url)
    stage.signal(signal.SIGTERM)
    until(lambda: status_of(f"{url}/health/ready") == 503)
    refused = ask(f"{url}/v1/namespaces/list", {})
    assert (refused.status, refused.json["code"]) == (503, "unavailable")
    assert "stopping" in refused.json["detail"]
    assert status_of(f"{url}/health/live") == 200
    assert call.answer()[0] == 200
    assert stage.ended().code == 0


@pytest.mark.parametrize(("second", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_it_at_once(stage: Running, second: signal.Signals, code: int) -> None:
    url = stage.ready()
    call = SlowCall(url)
    stage.signal(signal.SIGTERM)
    until(lambda: status_of(f"{url}/health/ready") == 503)
    stage.signal(second)
    assert stage.ended().code == code
    assert call.is_broken_off()


def test_a_call_that_never_ends_holds_it_up_no_longer_than_configured(start: Start) -> None:
    stage = start("up", "--port", "0", variables={"SOUNDSTAGE_HTTP__DRAIN_TIMEOUT": "200ms"})
    call = SlowCall(stage.ready())
    stage.signal(signal.SIGTERM)
    assert stage.ended().code == 0
    assert call.is_broken_off()
