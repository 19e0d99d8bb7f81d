"""A catalogue on a real PostgreSQL that speaks TLS: who is trusted, and what callers are told where nobody is."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
import trustme
from tests.conformance.calls import refused
from tests.conformance.tables.conftest import address_at

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Unauthenticated, Unavailable
from soundstage.engines.tables.iceberg import IcebergTables
from soundstage.servers import Cluster
from soundstage.testing.tables.samples import SPEC, film, ids, rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.pem` and `stranger.pem`, who sign, and keys with certificates: of nodes, and of clients of either."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    stranger = trustme.CA()
    for name, signed_by, host in (
        ("node", authority, "127.0.0.1"),
        ("other", authority, "films.example"),
        ("client", authority, "client.example"),
        ("foreign", stranger, "client.example"),
    ):
        issued = signed_by.issue_cert(host).private_key_and_cert_chain_pem.bytes()
        (folder / f"{name}.pem").write_bytes(issued + signed_by.cert_pem.bytes())
        (folder / f"{name}.pem").chmod(0o600)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    stranger.cert_pem.write_to_path(folder / "stranger.pem")
    return folder


@pytest.fixture(scope="module")
def secret(certificates: Path) -> Generator[Cluster]:
    """One whose certificate names its host."""
    with Cluster("postgresql", settings={"tls_pem": str(certificates / "node.pem")}) as started:
        yield started


@pytest.fixture(scope="module")
def misnamed(certificates: Path) -> Generator[Cluster]:
    """One whose certificate names another."""
    with Cluster("postgresql", settings={"tls_pem": str(certificates / "other.pem")}) as started:
        yield started


@pytest.fixture(scope="module")
def wary(certificates: Path) -> Generator[Cluster]:
    """One that by TLS lets nobody in who shows no certificate."""
    with Cluster("postgresql", settings={"tls_pem": str(certificates / "node.pem")}) as started:
        rules = started.nodes[0].folder / "data" / "pg_hba.conf"
        rules.write_text(f"hostssl all all all trust clientcert=verify-ca\n{rules.read_text()}")
        started.restart()
        yield started


def engine_on(cluster: Cluster, folder: Path, query: str) -> IcebergTables:
    return IcebergTables(address_at(cluster.url, folder, "suite", query), SystemEnvironment(), durable=False)


@pytest.mark.parametrize("query", ["", "&tls_names=true"])
async def test_over_tls_all_is_as_without(secret: Cluster, certificates: Path, tmp_path: Path, query: str) -> None:
    engine = engine_on(secret, tmp_path, f"tls_ca={certificates}/ca.pem{query}")
    await engine.start()
    await engine.create(SPEC)
    await engine.append("films", rows(film(1)))
    assert await ids(engine) == [1]
    await engine.drop("films")
    await engine.stop()


async def test_a_certificate_of_another_host_is_taken_where_names_do_not_count(
    misnamed: Cluster, certificates: Path, tmp_path: Path
) -> None:
    engine = engine_on(misnamed, tmp_path, f"tls_ca={certificates}/ca.pem&tls_names=false")
    await engine.start()
    await engine.stop()


async def test_a_certificate_of_another_host_ends_the_start_at_once(
    misnamed: Cluster, certificates: Path, tmp_path: Path
) -> None:
    error = await refused(engine_on(misnamed, tmp_path, f"tls_ca={certificates}/ca.pem").start())
    assert (type(error), error.retryable, error.outcome) == (Unavailable, False, "not_applied")


@pytest.mark.parametrize("authority", ["stranger.pem", "none.pem"])
async def test_who_is_not_trusted_ends_the_start_at_once(
    secret: Cluster, certificates: Path, tmp_path: Path, authority: str
) -> None:
    error = await refused(engine_on(secret, tmp_path, f"tls_ca={certificates}/{authority}").start())
    assert (type(error), error.retryable, error.outcome) == (Unavailable, False, "not_applied")


async def test_a_server_without_tls_is_not_spoken_to(postgresql: Cluster, certificates: Path, tmp_path: Path) -> None:
    error = await refused(engine_on(postgresql, tmp_path, f"tls_ca={certificates}/ca.pem").start())
    assert (type(error), error.retryable, error.outcome) == (Unavailable, False, "not_applied")


async def test_a_client_that_shows_its_certificate_is_let_in(wary: Cluster, certificates: Path, tmp_path: Path) -> None:
    shown = f"tls_cert={certificates}/client.pem&tls_key={certificates}/client.pem"
    engine = engine_on(wary, tmp_path, f"tls_ca={certificates}/ca.pem&{shown}")
    await engine.start()
    await engine.stop()


@pytest.mark.parametrize("name", [None, "foreign"])
async def test_a_client_without_a_certificate_that_is_trusted_is_turned_away(
    wary: Cluster, certificates: Path, tmp_path: Path, name: str | None
) -> None:
    shown = "" if name is None else f"&tls_cert={certificates}/{name}.pem&tls_key={certificates}/{name}.pem"
    error = await refused(engine_on(wary, tmp_path, f"tls_ca={certificates}/ca.pem{shown}").start())
    assert (type(error), error.retryable) == (Unauthenticated, False), str(error)
