"""A database that lets one in and then stands still: a listener that knows the first words of PostgreSQL's protocol."""

from __future__ import annotations

import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import SoundstageError, Unauthenticated, Unavailable
from soundstage.engines.tables.iceberg.connections import secrecy, shared_catalogue
from soundstage.engines.tables.iceberg.driver import database
from soundstage.engines.tables.iceberg.failures import failure
from soundstage.engines.tables.iceberg.options import shared_address
from soundstage.engines.tables.iceberg.work import Work, doing

# The role is who it says; the server's version; ask.
WELCOME = b"R\0\0\0\x08\0\0\0\0" + b"S\0\0\0\x1cserver_version\x0015.0.0.0\0" + b"Z\0\0\0\x05I"
# The password, as it is; and it is wrong.
ASKED = b"R\0\0\0\x08\0\0\0\x03"
WORDS = b"SFATAL\0C28P01\0Mpassword authentication failed\0\0"
WRONG = b"E" + (4 + len(WORDS)).to_bytes(4) + WORDS


class Listener(ABC):
    """It speaks no TLS, and has one visitor at a time."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                words = connection.recv(4096)
                while len(words) == 8:
                    # TLS, or another kind of secrecy, is wanted first.
                    connection.sendall(b"N")
                    words = connection.recv(4096)
                self._answer(connection, words)

    @abstractmethod
    def _answer(self, connection: socket.socket, greeting: bytes) -> None: ...


class Silent(Listener):
    """It greets whoever comes, notes what is said, and says no more."""

    def __init__(self) -> None:
        self.greetings: list[bytes] = []
        self.asked = threading.Event()
        self.left = threading.Event()
        super().__init__()

    def _answer(self, connection: socket.socket, greeting: bytes) -> None:
        self.greetings.append(greeting)
        connection.sendall(WELCOME)
        while connection.recv(4096):
            self.asked.set()
        self.left.set()


@pytest.fixture
def silent() -> Generator[Silent]:
    made = Silent()
    yield made
    made.listener.close()


class Suspicious(Listener):
    """It asks whoever comes for the password, and lets nobody in; `told` has what it was."""

    def __init__(self) -> None:
        self.told: list[bytes] = []
        super().__init__()

    def _answer(self, connection: socket.socket, greeting: bytes) -> None:
        connection.sendall(ASKED)
        answer = connection.recv(4096)
        if answer:
            self.told.append(answer[5:-1])
            connection.sendall(WRONG)


@pytest.fixture
def suspicious() -> Generator[Suspicious]:
    made = Suspicious()
    yield made
    made.listener.close()


def opened(server: Listener, folder: Path, statement: str, password_file: str | None = None) -> Any:
    url = f"iceberg+postgresql://127.0.0.1:{server.port}/films?warehouse={folder}&statement={statement}"
    address = shared_address("tables", urlsplit(url), {}, password_file)
    properties = {"uri": address.database, "warehouse": f"file://{folder}"}
    return shared_catalogue(address, properties, SystemEnvironment())


def told(error: BaseException) -> SoundstageError:
    """What a caller is told who only reads."""
    return failure(error, "films", reading=True)


def test_a_statement_that_nobody_answers_ends_in_time_and_its_connection_is_closed(
    silent: Silent, tmp_path: Path
) -> None:
    with pytest.raises(database.SQLAlchemyError, match="no answer within") as raised:
        opened(silent, tmp_path, "100ms")
    error = told(raised.value)
    assert (type(error), error.retryable, error.outcome) == (Unavailable, True, "not_applied")
    assert silent.left.wait(30)


def test_a_statement_ends_when_nobody_waits_for_it_any_more(silent: Silent, tmp_path: Path) -> None:
    work, failures = Work(lambda: True), list[BaseException]()

    def ask() -> None:
        with doing(work):
            try:
                opened(silent, tmp_path, "1h")
            except database.SQLAlchemyError as error:
                failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert silent.asked.wait(30)
    work.leave()
    asking.join(30)
    assert (asking.is_alive(), [type(told(each)) for each in failures]) == (False, [Unavailable])
    assert "nobody waits" in str(failures[0])


def test_the_server_is_told_how_long_a_statement_may_take(silent: Silent, tmp_path: Path) -> None:
    with pytest.raises(database.SQLAlchemyError, match="no answer within"):
        opened(silent, tmp_path, "250ms")
    assert b"statement_timeout=250" in silent.greetings[0]
    assert b"idle_in_transaction_session_timeout=250" in silent.greetings[0]


def test_the_password_is_what_its_file_has_when_a_connection_is_made(suspicious: Suspicious, tmp_path: Path) -> None:
    file = tmp_path / "password"
    for password in ("p@ss/word", "an%other"):
        file.write_text(f"{password}\nmore\n")
        with pytest.raises(database.SQLAlchemyError) as raised:
            opened(suspicious, tmp_path, "10s", str(file))
        error = told(raised.value)
        assert (type(error), error.retryable, password in str(error)) == (Unauthenticated, False, False)
    # The driver may try more than once, with and without TLS.
    assert list(dict.fromkeys(suspicious.told)) == [b"p@ss/word", b"an%other"]


def test_a_password_that_cannot_be_read_is_told(suspicious: Suspicious, tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated, match="the file with the secret cannot be read"):
        opened(suspicious, tmp_path, "10s", str(tmp_path / "none"))
    assert suspicious.told == []


@pytest.mark.parametrize(
    ("query", "told_to_the_driver"),
    [
        ("", {}),
        ("tls_ca=/ca.pem", {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}),
        ("tls_ca=/ca.pem&tls_names=false", {"sslmode": "verify-ca", "sslrootcert": "/ca.pem"}),
        (
            "tls_ca=/ca.pem&tls_cert=/me.pem&tls_key=/key.pem",
            {"sslmode": "verify-full", "sslrootcert": "/ca.pem", "sslcert": "/me.pem", "sslkey": "/key.pem"},
        ),
    ],
)
def test_the_driver_is_told_whom_to_trust(query: str, told_to_the_driver: dict[str, str]) -> None:
    address = shared_address("tables", urlsplit(f"iceberg+postgresql://db/films?warehouse=/a&{query}"), {}, None)
    assert secrecy(address.options) == told_to_the_driver
