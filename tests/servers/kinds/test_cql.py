from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

import pytest

from soundstage.servers.cluster import Cluster
from soundstage.servers.kinds.cql import Session, rows


def texts(*words: str) -> bytes:
    return b"".join(struct.pack(">H", len(word)) + word.encode() for word in words)


def frame(opcode: int, body: bytes = b"") -> bytes:
    return struct.pack(">BBhBi", 0x84, 0, 0, opcode, len(body)) + body


ONE_ROW = (
    struct.pack(">iii", 2, 1, 2)
    + texts("ks", "table", "a")
    + struct.pack(">H", 13)
    + texts("b")
    + struct.pack(">H", 13)
    + struct.pack(">i", 1)
    + struct.pack(">i", 1)
    + b"x"
    + struct.pack(">i", -1)
)


def asked(talk: Callable[[Session], object], *answers: bytes) -> object:
    """What `talk` gets from a node that answers so, one frame after another, and then hangs up."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    connection.recv(4096)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with Session(*listener.getsockname()) as session:
                return talk(session)
        finally:
            thread.join(30)


def test_rows_are_read() -> None:
    assert rows(ONE_ROW) == [[b"x", None]]


def test_columns_that_name_their_tables_are_read() -> None:
    spec = texts("ks", "table", "a") + struct.pack(">H", 13)
    assert rows(struct.pack(">iii", 2, 0, 1) + spec + struct.pack(">ii", 1, 1) + b"x") == [[b"x"]]


def test_an_answer_without_rows_has_none() -> None:
    assert rows(struct.pack(">i", 1)) == []


def test_a_query_is_answered() -> None:
    assert asked(lambda session: session.query("SELECT"), frame(2), frame(8, ONE_ROW)) == [[b"x", None]]


def test_a_node_that_asks_who_calls_is_told() -> None:
    answers = (frame(3, texts("Authenticator")), frame(16, struct.pack(">i", -1)), frame(8, ONE_ROW))
    assert asked(lambda session: session.query("SELECT"), *answers) == [[b"x", None]]


@pytest.mark.parametrize(
    "answers",
    [
        (),
        (frame(0, b"error"),),
        (frame(3), frame(0, b"bad credentials")),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n",),
        (frame(2)[:4],),
    ],
    ids=["hangs up", "error", "credentials", "another protocol", "half a frame"],
)
def test_a_node_that_answers_otherwise_is_not_ready(answers: tuple[bytes, ...]) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - whatever the socket says
        asked(lambda session: session, *answers)


@pytest.mark.slow
def test_a_real_node_answers(cassandra: Cluster) -> None:
    (node,) = cassandra.nodes
    with Session(node.host, node.port) as session:
        assert session.query("SELECT peer FROM system.peers_v2") == []
        assert session.query("SELECT key FROM system.local") == [[b"local"]]
