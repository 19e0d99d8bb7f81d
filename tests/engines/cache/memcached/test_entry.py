"""Servers that want TLS, a certificate and a password: who is let in, and what everybody else is told."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

import pytest
import trustme
import uvloop

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import InvalidArgument, SoundstageError
from soundstage.core.time import NS_PER_MS, Duration
from soundstage.engines.cache.memcached import MemcachedCache, MemcachedOptions
from soundstage.engines.cache.port import Found, Outcome

USER, PASSWORD = "alice", "opensesame"

PATIENT = Duration(30_000 * NS_PER_MS)

Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]
LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


class Server:
    """A memcached with a file of users, or none, that keeps no values but has all that it was told."""

    def __init__(self, password: str | None = PASSWORD) -> None:
        self.password = password
        self.told: list[bytes] = []
        self.port = 0
        self._serving: set[asyncio.Task[None] | None] = set()

    @asynccontextmanager
    async def running(self, context: ssl.SSLContext | None = None) -> AsyncGenerator[None]:
        """It listens."""
        async with await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=context) as listening:
            self.port = listening.sockets[0].getsockname()[1]
            yield
        for task in self._serving:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in self._serving if task), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        try:
            await self._converse(reader, writer)
        finally:
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        let_in = self.password is None
        with suppress(ConnectionError, ssl.SSLError):
            while line := await reader.readline():
                self.told.append(line)
                words = line.split()
                value = await reader.readexactly(int(words[4]) + 2) if words[0] == b"set" else b""
                self.told.append(value)
                if let_in:
                    writer.write(b"MN\r\n" if words[0] == b"mn" else b"STORED\r\n" if value else b"EN\r\n")
                elif value:
                    let_in = value == f"{USER} {self.password}\r\n".encode()
                    writer.write(b"STORED\r\n" if let_in else b"CLIENT_ERROR authentication failure\r\n")
                else:
                    writer.write(b"CLIENT_ERROR unauthenticated\r\n")


@pytest.fixture
def secret(tmp_path: Path) -> Callable[[str], str]:
    """Makes a file that has a password."""

    def secret(password: str) -> str:
        (tmp_path / "password").write_text(f"{password}\n")
        return str(tmp_path / "password")

    return secret


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.pem` and what it signed: `server.pem` for 127.0.0.1 and `client.pem`; and the same of `stranger-`."""
    folder = tmp_path_factory.mktemp("tls")
    for name in ("", "stranger-"):
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / f"{name}ca.pem"))
        for kind, whose in (("server", "127.0.0.1"), ("client", "ali@example.org")):
            authority.issue_cert(whose).private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}{kind}.pem"))
    return folder


def context(certificates: Path, clients: bool = False) -> ssl.SSLContext:
    """Of the server; with `clients` it wants their certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificates / "server.pem")
    if clients:
        made.load_verify_locations(certificates / "ca.pem")
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def engine(server: Server, host: str = "127.0.0.1", **options: Any) -> MemcachedCache:
    given: dict[str, Any] = {"within": PATIENT, "connect_within": PATIENT, **options}
    return MemcachedCache([(host, server.port)], SystemEnvironment(), MemcachedOptions(**given))


async def refused(call: Awaitable[object]) -> SoundstageError:
    with pytest.raises(SoundstageError) as error:
        await call
    assert PASSWORD not in f"{error.value!r} {error.value} {error.value.hint}"
    return error.value


async def code_of(call: Awaitable[object]) -> str:
    return (await refused(call)).code


async def outcome_of(call: Awaitable[list[Found]]) -> Outcome:
    return (await call)[0].outcome


async def until(ask: Callable[[], Awaitable[object]], expected: object) -> None:
    """The answer is what is expected."""
    async with asyncio.timeout(30):
        while await ask() != expected:  # noqa: ASYNC110 - nobody tells when a server is back
            await asyncio.sleep(0.001)


@LOOPS
def test_a_password_lets_in_over_tls(run: Run, certificates: Path, secret: Callable[[str], str]) -> None:
    server = Server()

    async def calls() -> list[Outcome]:
        async with server.running(context(certificates)):
            cache = engine(
                server, user=USER, password_file=secret(PASSWORD), tls_ca=str(certificates / "ca.pem"), prefix="f:"
            )
            await cache.start()
            found = await cache.get([b"a", b"b"])
            await cache.stop()
            return [each.outcome for each in found]

    assert run(calls()) == [Outcome.MISS, Outcome.MISS]
    assert [line for line in server.told if line] == [
        b"mn\r\n",
        b"set login 0 0 16\r\n",
        b"alice opensesame\r\n",
        b"mg f:a v f c\r\n",
        b"mg f:b v f c\r\n",
    ]


async def test_the_password_may_be_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOT_PASSWORD", PASSWORD)
    server = Server()
    async with server.running():
        cache = engine(server, user=USER, password_env="HOT_PASSWORD")
        await cache.start()
        assert [each.outcome for each in await cache.get([b"a"])] == [Outcome.MISS]
        await cache.stop()


async def test_a_server_that_asks_nobody_is_not_told_the_password(secret: Callable[[str], str]) -> None:
    server = Server(password=None)
    async with server.running():
        cache = engine(server, user=USER, password_file=secret(PASSWORD))
        await cache.start()
        assert [each.outcome for each in await cache.get([b"a"])] == [Outcome.MISS]
        await cache.stop()
    assert PASSWORD.encode() not in b"".join(server.told)


@LOOPS
@pytest.mark.parametrize(("user", "password"), [(USER, "wrong"), ("nobody", "wrong")])
def test_a_wrong_password_or_user_ends_the_start_and_is_told(
    run: Run, secret: Callable[[str], str], user: str, password: str
) -> None:
    async def calls() -> SoundstageError:
        server = Server()
        async with server.running():
            return await refused(engine(server, user=user, password_file=secret(password)).start())

    error = run(calls())
    assert (error.code, error.retryable, error.outcome) == ("unauthenticated", False, "not_applied")
    assert "password_env" in str(error.hint)
    assert "wrong" not in str(error)


@pytest.mark.parametrize("password", ["open sesame", "x" * 251])
async def test_a_password_that_no_memcached_takes_is_told_and_not_repeated(
    secret: Callable[[str], str], password: str
) -> None:
    server = Server()
    async with server.running():
        error = await refused(engine(server, user=USER, password_file=secret(password)).start())
    assert isinstance(error, InvalidArgument)
    assert password not in f"{error} {error.hint}"


async def test_over_tls_a_server_that_wants_a_password_is_told_of_at_the_start(certificates: Path) -> None:
    server = Server()
    async with server.running(context(certificates)):
        error = await refused(engine(server, tls_ca=str(certificates / "ca.pem")).start())
    assert (error.code, "user" in str(error.hint)) == ("unauthenticated", True)


async def test_a_password_that_is_changed_later_is_told_by_calls_and_health_until_it_is_right(
    secret: Callable[[str], str],
) -> None:
    server, changed = Server(), "changed"
    file, quick = secret(PASSWORD), Duration(NS_PER_MS)
    async with server.running():
        cache = engine(server, user=USER, password_file=file, failures_max=1, probe_every=quick)
        await cache.start()
    server.password = changed
    async with server.running():
        # The connection has ended, and the next one is not let in.
        await until(lambda: code_of(cache.delete(b"a")), "unauthenticated")
        assert [each.outcome for each in await cache.get([b"a"])] == [Outcome.UNAVAILABLE]
        assert "does not know the user" in str(cache.warning)
        secret(changed)
        await until(lambda: outcome_of(cache.get([b"a"])), Outcome.MISS)
        assert cache.warning is None
        await cache.stop()


async def test_a_server_that_is_away_does_not_hold_up_the_start(
    certificates: Path, secret: Callable[[str], str]
) -> None:
    server = Server()
    async with server.running():
        pass
    cache = engine(server, user=USER, password_file=secret(PASSWORD), tls_ca=str(certificates / "ca.pem"))
    await cache.start()
    assert (await refused(cache.delete(b"a"))).code == "unavailable"
    await cache.stop()


@LOOPS
@pytest.mark.parametrize(("ca", "host"), [("stranger-ca", "127.0.0.1"), ("ca", "localhost"), (None, "127.0.0.1")])
def test_a_server_that_cannot_be_trusted_ends_the_start(
    run: Run, certificates: Path, ca: str | None, host: str
) -> None:
    async def calls() -> SoundstageError:
        server = Server(password=None)
        async with server.running(context(certificates)):
            file = None if ca is None else str(certificates / f"{ca}.pem")
            return await refused(engine(server, host, tls=True, tls_ca=file).start())

    error = run(calls())
    assert (error.code, error.retryable, error.outcome) == ("unavailable", False, "not_applied")
    assert "tls_ca" in str(error.hint)


async def test_a_certificate_of_another_host_is_taken_where_names_do_not_count(certificates: Path) -> None:
    server = Server(password=None)
    async with server.running(context(certificates)):
        cache = engine(server, "localhost", tls_ca=str(certificates / "ca.pem"), tls_names=False)
        await cache.start()
        assert [each.outcome for each in await cache.get([b"a"])] == [Outcome.MISS]
        await cache.stop()


@LOOPS
def test_a_server_may_want_a_certificate_of_its_clients(run: Run, certificates: Path) -> None:
    async def calls() -> None:
        server = Server(password=None)
        async with server.running(context(certificates, clients=True)):
            cache = engine(server, tls_ca=str(certificates / "ca.pem"), tls_cert=str(certificates / "client.pem"))
            await cache.start()
            assert await outcome_of(cache.get([b"a"])) is Outcome.MISS
            await cache.stop()

    run(calls())


@pytest.fixture
def choosy(certificates: Path) -> Iterator[Server]:
    """One connection is turned away, for its certificate: as a memcached does it, and no server of asyncio."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def turn_away() -> None:
            connection, _ = listening.accept()
            with connection.dup() as raw:
                with suppress(ssl.SSLError):
                    context(certificates, clients=True).wrap_socket(connection, server_side=True).close()
                # What is closed with something unread takes back what it said.
                with suppress(OSError):
                    while raw.recv(4_096):
                        pass

        server = Server()
        server.port = listening.getsockname()[1]
        serving = Thread(target=turn_away)
        serving.start()
        yield server
        serving.join()


@LOOPS
@pytest.mark.parametrize("client", ["stranger-client", None])
def test_a_client_whose_certificate_is_not_taken_is_told_what_to_do(
    run: Run, certificates: Path, choosy: Server, client: str | None
) -> None:
    file = None if client is None else str(certificates / f"{client}.pem")
    cache = engine(choosy, tls_ca=str(certificates / "ca.pem"), tls_cert=file)
    error = run(refused(cache.start()))
    assert (error.code, error.retryable, "tls_cert" in str(error.hint)) == ("unauthenticated", False, True)


@LOOPS
def test_a_server_that_speaks_no_tls_is_told(run: Run, certificates: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"ERROR\r\n")
        with suppress(ConnectionError):
            await writer.drain()
            await reader.read()
        writer.transport.abort()

    async def calls() -> SoundstageError:
        server = Server()
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
            server.port = listening.sockets[0].getsockname()[1]
            return await refused(engine(server, tls_ca=str(certificates / "ca.pem")).start())

    error = run(calls())
    assert (error.code, error.retryable, "-Z" in str(error.hint)) == ("unavailable", False, True)


async def test_whoever_speaks_no_tls_to_a_server_that_does_is_told_how(certificates: Path) -> None:
    server = Server(password=None)
    async with server.running(context(certificates)):
        cache = engine(server)
        await cache.start()
        error = await refused(cache.set(b"key", b"red"))
        await cache.stop()
    assert (error.code, "tls_ca" in str(error.hint)) == ("unavailable", True)


async def test_a_file_of_tls_that_is_none_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"none\.pem of TLS"):
        await engine(Server(), tls_ca=str(tmp_path / "none.pem")).start()
