from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator

import pytest

from soundstage.core.errors import Unavailable
from soundstage.servers import ports
from soundstage.servers.ports import answers, fetched, free_port, is_free


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


def port_of(listener: socket.socket) -> int:
    return listener.getsockname()[1]


def serve(listener: socket.socket, answer: bytes) -> threading.Thread:
    def once() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(answer)

    thread = threading.Thread(target=once)
    thread.start()
    return thread


def test_a_port_on_which_somebody_listens_is_not_free(listener: socket.socket) -> None:
    assert not is_free("127.0.0.1", port_of(listener))


def test_a_free_port_is_free_and_taken_note_of() -> None:
    taken: set[int] = set()
    port = free_port(["127.0.0.1", "127.0.0.2"], random.Random(1), taken)
    assert taken == {port}
    assert is_free("127.0.0.2", port)


def test_no_port_is_given_twice() -> None:
    taken: set[int] = set()
    found = [free_port(["127.0.0.1"], random.Random(1), taken) for _ in range(5)]
    assert len(set(found)) == 5


def test_where_no_port_is_free_it_says_so(monkeypatch: pytest.MonkeyPatch, listener: socket.socket) -> None:
    monkeypatch.setattr(ports, "LOWEST", port_of(listener))
    monkeypatch.setattr(ports, "HIGHEST", port_of(listener) + 1)
    with pytest.raises(Unavailable, match=r"is free on 127\.0\.0\.1"):
        free_port(["127.0.0.1"], random.Random(1), set())


@pytest.mark.parametrize(
    ("answer", "skip", "found"),
    [(b"VERSION 1", 0, True), (b"xxxxVERSION", 4, True), (b"ERROR\r\n", 0, False), (b"VER", 0, False), (b"", 0, False)],
)
def test_an_answer_is_compared(listener: socket.socket, answer: bytes, skip: int, found: bool) -> None:
    thread = serve(listener, answer)
    assert answers("127.0.0.1", port_of(listener), b"version\r\n", b"VERSION", skip) is found
    thread.join(30)


def test_where_nobody_listens_nobody_answers(listener: socket.socket) -> None:
    port = port_of(listener)
    listener.close()
    assert not answers("127.0.0.1", port, b"version\r\n", b"VERSION")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue", b"true"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\ntrue", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntrue", None),
        (b"VERSION 1\r\n", None),
        (b"", None),
    ],
)
def test_only_a_whole_good_answer_is_fetched(listener: socket.socket, answer: bytes, found: bytes | None) -> None:
    thread = serve(listener, answer)
    assert fetched("127.0.0.1", port_of(listener), "/health") == found
    thread.join(30)


def test_where_nobody_listens_nothing_is_fetched(listener: socket.socket) -> None:
    port = port_of(listener)
    listener.close()
    assert fetched("127.0.0.1", port, "/health") is None
