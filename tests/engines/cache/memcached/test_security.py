"""Real servers that want TLS, certificates and passwords: who is let in, and what everybody else is told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
import uvloop

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import SoundstageError
from soundstage.engines.cache.memcached import MemcachedCache, open_memcached, parse_address
from soundstage.engines.cache.port import Cache
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.trial import try_engine
from soundstage.servers import Cluster
from soundstage.testing.cache import CacheSuite
from soundstage.testing.cache.suite import own_key, value_of

USER, PASSWORD = "alice", "opensesame"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`server.pem` for 127.0.0.1, `ca.pem` who signed it, `client.pem` of the same and `other.pem` of a stranger."""
    folder = tmp_path_factory.mktemp("tls")
    ours, stranger = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(folder / "ca.pem"))
    stranger.cert_pem.write_to_path(str(folder / "stranger.pem"))
    own = ours.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()
    (folder / "server.pem").write_bytes(own + ours.cert_pem.bytes())
    ours.issue_cert("ali@example.org").private_key_and_cert_chain_pem.write_to_path(str(folder / "client.pem"))
    stranger.issue_cert("ali@example.org").private_key_and_cert_chain_pem.write_to_path(str(folder / "other.pem"))
    (folder / "right").write_text(f"{PASSWORD}\n")
    (folder / "wrong").write_text("guess\n")
    return folder


@pytest.fixture(scope="module")
def guarded(certificates: Path) -> Generator[Cluster]:
    settings = {
        "tls_pem": str(certificates / "server.pem"),
        "tls_clients": "required",
        "user": USER,
        "password": PASSWORD,
    }
    with Cluster("memcached", nodes=2, settings=settings) as started:
        yield started


Engine = Callable[..., MemcachedCache]


def url(cluster: Cluster, user: str | None = USER, host: str = "127.0.0.1", port: str = "tls") -> str:
    nodes = ",".join(f"{host}:{node.ports[port]}" for node in cluster.nodes)
    return f"memcached://{'' if user is None else f'{user}@'}{nodes}?within=30s&connect_within=30s"


@pytest.fixture
def engine(guarded: Cluster, certificates: Path) -> Engine:
    """Makes one, by default one that is let in; files by their names."""

    def engine(
        user: str | None = USER,
        password: str | None = "right",
        ca: str | None = "ca",
        cert: str | None = "client",
        host: str = "127.0.0.1",
        **options: Any,
    ) -> MemcachedCache:
        given = {"tls_ca": ca, "tls_cert": cert}
        files = {name: str(certificates / f"{file}.pem") for name, file in given.items() if file is not None}
        secret = None if password is None else str(certificates / password)
        address = parse_address("suite", urlsplit(url(guarded, user, host)), {**files, **options}, secret)
        return open_memcached(address, SystemEnvironment())

    return engine


class TestGuarded(CacheSuite):
    """All of the port, over TLS and with a login."""

    @pytest.fixture
    async def cache(self, engine: Engine) -> AsyncIterator[Cache]:
        made = engine()
        await made.start()
        yield made
        await made.stop()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_it_works_on_the_loop_of_programs_and_on_that_of_servers(
    engine: Engine, run: Callable[[Coroutine[Any, Any, bytes | None]], bytes | None]
) -> None:
    async def calls() -> bytes | None:
        cache, key = engine(), own_key()
        await cache.start()
        try:
            await cache.set(key, b"v" * 1_000_000)
            return await value_of(cache, key)
        finally:
            await cache.stop()

    assert run(calls()) == b"v" * 1_000_000


async def refused(cache: MemcachedCache) -> SoundstageError:
    """Why it does not start; nothing of it is left."""
    with pytest.raises(SoundstageError) as error:
        await cache.start()
    assert PASSWORD not in f"{error.value} {error.value.hint}"
    return error.value


@pytest.mark.parametrize(("user", "password"), [(USER, "wrong"), ("nobody", "right"), (None, None)])
async def test_with_a_wrong_password_or_none_nobody_is_let_in(
    engine: Engine, user: str | None, password: str | None
) -> None:
    error = await refused(engine(user, password))
    assert (error.code, error.retryable, error.outcome) == ("unauthenticated", False, "not_applied")
    assert "password_env" in str(error.hint)


@pytest.mark.parametrize(("ca", "host"), [("stranger", "127.0.0.1"), ("ca", "localhost")])
async def test_a_server_that_cannot_be_trusted_ends_the_start(engine: Engine, ca: str, host: str) -> None:
    error = await refused(engine(ca=ca, host=host))
    assert (error.code, error.retryable, "tls_ca" in str(error.hint)) == ("unavailable", False, True)


async def used(cache: MemcachedCache) -> None:
    """It was started and has changed something."""
    await cache.start()
    await cache.delete(own_key())


@pytest.mark.parametrize("cert", ["other", None])
async def test_a_client_whose_certificate_is_not_taken_gets_nowhere(engine: Engine, cert: str | None) -> None:
    """What is said of it may be lost on the way, and is then as if the server were away."""
    cache = engine(cert=cert)
    with pytest.raises(SoundstageError) as error:
        await used(cache)
    await cache.stop()
    assert error.value.code in ("unauthenticated", "unavailable")


async def test_a_server_without_a_file_of_users_keeps_no_password(certificates: Path) -> None:
    with Cluster("memcached") as plain:
        (node,) = plain.nodes
        address = parse_address("suite", urlsplit(url(plain, port="memcached")), {}, str(certificates / "right"))
        cache = open_memcached(address, SystemEnvironment())
        await cache.start()
        await cache.set(b"there", b"red")
        await cache.stop()
        with socket.create_connection((node.host, node.port), timeout=30) as connection:
            connection.sendall(b"stats\r\n")
            told = b""
            while not told.endswith(b"END\r\n"):
                told += connection.recv(4_096)
    assert b"STAT cmd_set 1\r\n" in told


async def test_the_check_of_engines_goes_through_the_door_too(
    guarded: Cluster, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"tls_ca": str(certificates / "ca.pem"), "tls_cert": str(certificates / "client.pem")}
    config = EngineConfig(url=url(guarded), password_env="HOT_PASSWORD", options=options)
    monkeypatch.setenv("HOT_PASSWORD", PASSWORD)
    (trial,) = await try_engine(config, str(certificates), SystemEnvironment(), rounds=1)
    assert (trial.port, trial.problem) == ("cache", "")
    monkeypatch.setenv("HOT_PASSWORD", "guess")
    (trial,) = await try_engine(config, str(certificates), SystemEnvironment(), rounds=1)
    assert (trial.code, "guess" in trial.problem) == ("unauthenticated", False)
