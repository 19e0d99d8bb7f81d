"""A served stage under crowds: idle ones, slow ones, ones that send too much. Whoever asks properly is answered."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.e2e.conftest import Start
from tests.e2e.processes import WITHIN_S, Running

CROWD = 10_000
"""Idle connections, where the limits of the machine allow so many."""

OWN_FILES = 256
"""Files that the tests need for other things."""

READ = {"namespace": "profiles", "id": "ada"}
HALF_A_HEAD = b"POST /v1/kv/get_items HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
HALF_A_BODY = (
    b"POST /v1/kv/get_items HTTP/1.1\r\nHost: localhost\r\n"
    b'Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"na'
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def files() -> Iterator[int]:
    """As many files as the machine lets the tests open; the limit is put back."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CROWD + OWN_FILES
    most = wanted if before[1] == resource.RLIM_INFINITY else min(wanted, before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], most), before[1]))
    yield most
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Served:
    """A stage in memory with one record."""

    def __init__(self, stage: Running) -> None:
        self.stage = stage
        self.url = stage.ready()
        self.ask("namespaces/put", {"namespace": {"name": "profiles", "abstraction": "kv"}})
        self.ask("kv/put_items", {**READ, "items": [{"key": "bmFtZQ==", "value": "QWRh"}]})

    def ask(self, operation: str, message: object) -> httpx2.Response:
        response = httpx2.post(f"{self.url}/v1/{operation}", json=message, timeout=WITHIN_S)
        assert response.status_code == 200, response.text
        return response

    def is_served(self) -> bool:
        """Whether a caller on a connection of its own reads the record."""
        return len(self.ask("kv/get_items", READ).json()["items"]) == 1

    def memory_kib(self) -> int:
        """What the process holds in memory."""
        lines = Path(f"/proc/{self.stage.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    def connect(self) -> socket.socket:
        place = urlsplit(self.url)
        return socket.create_connection((place.hostname, place.port), timeout=WITHIN_S)

    @contextmanager
    def crowd(self, count: int, said: bytes = b"") -> Generator[list[socket.socket]]:
        """So many connections, each of which has said that much."""
        with ExitStack() as opened:
            connections = [opened.enter_context(self.connect()) for _ in range(count)]
            for each in connections:
                each.sendall(said)
            yield connections


Serve = Callable[..., Served]


@pytest.fixture
def serve(start: Start) -> Serve:
    def serve(**limits: str) -> Served:
        variables = {f"SOUNDSTAGE_HTTP__{name.upper()}": value for name, value in limits.items()}
        return Served(start("up", "--port", "0", "--data", "memory:", variables=variables))

    return serve


def send_all(connection: socket.socket, *parts: bytes) -> None:
    for part in parts:
        connection.sendall(part)


def status_of(connection: socket.socket) -> int:
    """The status of the response that comes, 0 when the connection ends without one."""
    with connection.makefile("rb") as stream:
        first = stream.readline()
        # All of it, so that the connection ends before its file does.
        stream.read()
    return int(first.split()[1]) if first else 0


def test_ten_thousand_idle_connections_keep_nobody_out(serve: Serve, files: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # The server raises its own limit, and takes three quarters of it for connections.
    count = min(CROWD, files - OWN_FILES, CROWD if hard == resource.RLIM_INFINITY else hard * 3 // 4 - 10)
    assert count == CROWD, f"this machine lets a process have {hard} files, too few for {CROWD} connections: ulimit -Hn"
    served = serve()
    before_kib = served.memory_kib()
    with served.crowd(count):
        assert all(served.is_served() for _ in range(20))
        each_kib = (served.memory_kib() - before_kib) / count
        print(f"{count} idle connections, {each_kib:.1f} KiB each")
    assert each_kib < 32
    assert served.is_served()
    assert served.stage.stop().code == 0


def test_idle_connections_do_not_delay_the_end(serve: Serve) -> None:
    served = serve()
    with served.crowd(500) as idle:
        assert served.is_served()
        assert served.stage.stop().code == 0
        assert all(each.recv(1) == b"" for each in idle)


def test_connections_over_the_limit_are_told_to_wait_and_others_go_on(serve: Serve) -> None:
    served = serve(max_connections="50")
    with served.crowd(50) as within:
        with served.crowd(30) as beyond:
            assert [status_of(each) for each in beyond] == [429] * 30
        within[0].sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert status_of(within[0]) == 200
        assert served.is_served()


@pytest.mark.parametrize("said", [HALF_A_HEAD, HALF_A_BODY], ids=["heads", "bodies"])
def test_a_thousand_that_drip_are_ended_and_keep_nobody_out(serve: Serve, files: int, said: bytes) -> None:
    served = serve(header_timeout="2s", body_timeout="2s")
    with served.crowd(min(1_000, files * 2 // 3), said) as dripping:
        assert served.is_served()
        for each in dripping:
            each.sendall(b"x")
        assert served.is_served()
        assert {status_of(each) for each in dripping} == {408}
    assert served.is_served()


def test_many_large_bodies_at_once_are_bounded_in_memory(serve: Serve) -> None:
    """A hundred bodies of 7 MiB want 700 MiB; the limit is 64."""
    served = serve(max_buffered="64MiB")
    before_kib = served.memory_kib()
    head = (
        b"POST /v1/kv/put_items HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 7340032\r\n\r\n"
    )
    with served.crowd(100, head) as senders:
        for each in senders:
            each.setblocking(False)
        chunk = bytes(1 << 18)
        for _ in range(40):
            for each in senders:
                try:
                    each.send(chunk)
                except BlockingIOError:
                    continue
        assert served.is_served()
        assert served.memory_kib() - before_kib < 300 << 10
    assert served.is_served()


def test_a_body_without_end_is_refused_and_cut_off(serve: Serve) -> None:
    served = serve()
    head = (
        b"POST /v1/kv/put_items HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    with served.connect() as endless, pytest.raises(ConnectionError):
        send_all(endless, head, *[chunk] * 10_000)
    assert served.is_served()


def test_rubbish_of_all_kinds_keeps_nobody_out(serve: Serve) -> None:
    served = serve()
    rubbish = [b"\0" * 100_000, b"\x16\x03\x01" * 1_000, b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 10_000, b"A" * 100_000]
    for said in rubbish * 20:
        with served.connect() as connection:
            connection.sendall(said)
    assert served.is_served()


def test_callers_that_vanish_keep_nobody_out(serve: Serve) -> None:
    served = serve()
    request = (
        b"POST /v1/kv/get_items HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 37\r\n\r\n"
    )
    for _ in range(300):
        with served.connect() as connection:
            connection.sendall(request + b'{"namespace":"profiles","id":"ada"}  ')
    assert served.is_served()
    ended = served.stage.stop()
    assert ended.code == 0
    assert [line for line in ended.err.splitlines() if '"level":"info"' not in line] == []
