"""A RESP door of `soundstage up`: callers that vanish, a stop in the midst of a pipeline, what was acknowledged."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from tests.e2e.conftest import Start
from tests.e2e.processes import WITHIN_S, Running

pytestmark = pytest.mark.slow

STAGE = '[doors.resp]\nlisten = "127.0.0.1:0"\n'

Door = Callable[[], tuple[Running, int]]


@pytest.fixture
def door(start: Start, tmp_path: Path) -> Door:
    """Starts a stage with a RESP door; gives the process and the door's port."""
    (tmp_path / "stage.toml").write_text(STAGE)

    def begin() -> tuple[Running, int]:
        stage = start("up", "--stage", "stage.toml", "--port", "0")
        stage.ready()
        (line,) = [line for line in stage.so_far.splitlines() if line.startswith("door")]
        return stage, int(line.rpartition(":")[2])

    return begin


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)


def everything(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(1 << 16):
        received += part
    return received


def test_where_it_is_is_printed_and_shown(door: Door) -> None:
    stage, port = door()
    url = stage.so_far.splitlines()[-1].removeprefix("ready ")
    with urllib.request.urlopen(f"{url}/status.json", timeout=WITHIN_S) as answer:
        (shown,) = json.loads(answer.read())["doors"]
    assert (shown["name"], shown["address"]) == ("resp", f"redis://127.0.0.1:{port}")
    assert f"door    resp redis://127.0.0.1:{port}" in stage.so_far


def test_what_was_acknowledged_in_a_pipeline_is_there_after_a_stop(door: Door) -> None:
    stage, port = door()
    with connected(port) as caller:
        caller.sendall(b"".join(b"SET k%d v%d\r\n" % (number, number) for number in range(3_000)))
        assert caller.recv(1) == b"+"
        stage.signal(signal.SIGTERM)
        replies = (b"+" + everything(caller)).splitlines()
    assert stage.ended().code == 0
    assert set(replies) == {b"+OK"}
    _, port = door()
    with redis.Redis(port=port) as r:
        found = r.mget(f"k{number}" for number in range(len(replies)))
    assert found == [b"v%d" % number for number in range(len(replies))]


def test_what_was_acknowledged_is_there_after_a_kill(door: Door) -> None:
    stage, port = door()
    with connected(port) as caller:
        caller.sendall(b"".join(b"HSET h f%d %d\r\n" % (number, number) for number in range(500)))
        received = b""
        while received.count(b"\n") < 100:
            received += caller.recv(1 << 16)
        stage.kill()
    _, port = door()
    with redis.Redis(port=port, decode_responses=True) as r:
        kept = r.hgetall("h")
    assert {f"f{number}": str(number) for number in range(received.count(b"\n"))}.items() <= kept.items()


def test_callers_that_vanish_leave_the_door_open(door: Door) -> None:
    _, port = door()
    for data in (b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100000\r\nxxx", b"GET a\r\n" * 1_000, b"*9999999\r\n", b""):
        caller = connected(port)
        caller.sendall(data)
        # With nothing to linger for, the system resets the connection.
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        caller.close()
    with redis.Redis(port=port) as r:
        assert r.ping() is True
        assert r.set("a", "1") is True


def test_a_caller_that_reads_slowly_gets_all_of_it(door: Door) -> None:
    _, port = door()
    with redis.Redis(port=port) as r:
        r.set("large", b"x" * 500_000)
    with connected(port) as caller:
        caller.sendall(b"GET large\r\n" * 60 + b"QUIT\r\n")
        with redis.Redis(port=port) as r:
            assert r.ping() is True
        assert len(everything(caller)) == 60 * (500_000 + len(b"$500000\r\n\r\n")) + len(b"+OK\r\n")
