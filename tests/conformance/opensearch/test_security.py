"""A real node behind TLS and a password: who gets in, and what is told to who does not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from tests.conformance.opensearch.guard import Guard
from tests.conformance.passwords import let_in_by_variable

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import InvalidArgument, SoundstageError
from soundstage.engines.search.opensearch import OpenSearchSearch, parse_address
from soundstage.engines.search.port import Field, IndexSpec, Kind, Put, Request, Status
from soundstage.engines.search.queries import Match
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.trial import try_engine
from soundstage.servers import Cluster

pytestmark = pytest.mark.slow

SPEC = IndexSpec(name="films", fields={"title": Field(kind=Kind.TEXT)})


def write(cert: trustme.LeafCert, path: Path) -> None:
    """Certificates and key, in one file."""
    path.write_bytes(cert.private_key_pem.bytes() + b"".join(each.bytes() for each in cert.cert_chain_pems))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates and passwords, right and wrong."""
    made = tmp_path_factory.mktemp("guard")
    # Whoever nginx and its workers run as.
    made.chmod(0o755)
    ours, stranger = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(made / "ca.pem"))
    stranger.cert_pem.write_to_path(str(made / "stranger.pem"))
    write(ours.issue_cert("127.0.0.1"), made / "good.pem")
    over = datetime(2020, 1, 1, tzinfo=UTC)
    write(ours.issue_cert("127.0.0.1", not_before=over.replace(year=2019), not_after=over), made / "expired.pem")
    write(ours.issue_cert("10.0.0.1"), made / "elsewhere.pem")
    write(ours.issue_cert("ali@example.org"), made / "client.pem")
    write(stranger.issue_cert("ali@example.org"), made / "other.pem")
    (made / "users").write_text("ali:{PLAIN}open sesame\n")
    (made / "right").write_text("open sesame\n")
    (made / "wrong").write_text("a guess\n")
    return made


@pytest.fixture(scope="module")
def guard(opensearch: Cluster, folder: Path) -> Generator[Cluster]:
    (node,) = opensearch.nodes
    with Cluster(Guard(), settings={"behind": node.address, "certificates": str(folder)}) as started:
        yield started


class Doors:
    """Makes engines that go through a door."""

    def __init__(self, guard: Cluster, folder: Path) -> None:
        self._ports = guard.nodes[0].ports
        self.folder = folder

    def engine(
        self, door: str = "good", password: str | None = "right", ca: str | None = "ca", **options: object
    ) -> OpenSearchSearch:
        """One that was not started. `password` and `ca` are names of files, without their ending."""
        user = "" if password is None else "ali@"
        secret = None if password is None else str(self.folder / password)
        given = options if ca is None else {"tls_ca": str(self.folder / f"{ca}.pem"), **options}
        url = urlsplit(f"opensearch://{user}127.0.0.1:{self._ports[door]}/guarded")
        return OpenSearchSearch(parse_address("suite", url, given, secret), SystemEnvironment())

    def url(self, door: str) -> str:
        return f"opensearch://ali@127.0.0.1:{self._ports[door]}/guarded?tls_ca={self.folder}/ca.pem"


@pytest.fixture
def doors(guard: Cluster, folder: Path) -> Doors:
    return Doors(guard, folder)


@pytest.fixture
async def search(doors: Doors) -> AsyncIterator[OpenSearchSearch]:
    engine = doors.engine(patience_s=30.0)
    await engine.start()
    yield engine
    await engine.drop_index("films")
    await engine.stop()


async def refused(engine: OpenSearchSearch) -> SoundstageError:
    """Why it does not start; nothing of it is left."""
    with pytest.raises(SoundstageError) as error:
        await engine.start()
    await engine.stop()
    return error.value


async def test_with_the_right_password_and_a_trusted_certificate_all_is_done(search: OpenSearchSearch) -> None:
    await search.create_index(SPEC)
    (outcome,) = await search.bulk("films", [Put("1", {"title": "Heat"})])
    await search.refresh("films")
    page = await search.search("films", Request(query=Match("title", "heat")))
    assert (outcome.status, [hit.document.id for hit in page.hits]) == (Status.APPLIED, ["1"])


@pytest.mark.parametrize("password", ["wrong", None])
async def test_with_a_wrong_password_or_none_nobody_is_let_in(doors: Doors, password: str | None) -> None:
    error = await refused(doors.engine(password=password, patience_s=60.0))
    assert (error.code, error.retryable, "password_file" in str(error.hint)) == ("unauthenticated", False, True)
    assert "guess" not in str(error)


async def test_a_password_in_a_variable_lets_in_and_a_wrong_one_does_not(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    await let_in_by_variable(monkeypatch, EngineConfig(url=doors.url("good")), "open sesame")


async def test_a_password_that_is_changed_while_the_engine_runs_is_told_of_by_its_calls(
    search: OpenSearchSearch, doors: Doors
) -> None:
    await search.create_index(SPEC)
    users = doors.folder / "users"
    known = users.read_text()
    users.write_text("ali:{PLAIN}another\n")
    try:
        for call in (search.get("films", ["1"]), search.bulk("films", [Put("1", {"title": "Heat"})])):
            with pytest.raises(SoundstageError) as error:
                await call
            assert error.value.code == "unauthenticated"
    finally:
        users.write_text(known)
    assert await search.get("films", ["1"]) == [None]


UNTRUSTED = {
    "nobody vouches for it": ("good", "stranger", "certificate"),
    "nobody of this machine vouches for it": ("good", None, "certificate"),
    "it is over": ("expired", "ca", "expired"),
    "it is of another host": ("elsewhere", "ca", "not valid for '127.0.0.1'"),
}


@pytest.mark.parametrize("case", UNTRUSTED)
async def test_a_certificate_that_is_not_to_be_trusted_ends_the_start_at_once(doors: Doors, case: str) -> None:
    door, ca, why = UNTRUSTED[case]
    error = await refused(doors.engine(door, ca=ca, tls=True, patience_s=60.0))
    assert (error.code, error.retryable, error.outcome) == ("unavailable", False, "not_applied")
    assert why in str(error)
    assert "tls_ca" in str(error.hint)


async def test_a_certificate_of_another_host_is_taken_where_names_do_not_count(doors: Doors) -> None:
    engine = doors.engine("elsewhere", tls_names=False)
    await engine.start()
    assert (await engine.server_version()).startswith("opensearch 2.")
    await engine.stop()


async def test_who_speaks_no_tls_is_not_understood(doors: Doors) -> None:
    error = await refused(doors.engine(ca=None, patience_s=60.0))
    assert (error.code, error.retryable, "TLS" in str(error.hint)) == ("unavailable", False, True)


async def test_a_client_that_shows_its_certificate_is_known(doors: Doors) -> None:
    file = str(doors.folder / "client.pem")
    engine = doors.engine("knowing", tls_cert=file, tls_key=file)
    await engine.start()
    assert await engine.indexes() == []
    await engine.stop()


@pytest.mark.parametrize("name", ["other", None])
async def test_a_client_without_a_certificate_that_is_trusted_is_turned_away(doors: Doors, name: str | None) -> None:
    file = str(doors.folder / f"{name}.pem")
    shown = {} if name is None else {"tls_cert": file, "tls_key": file}
    error = await refused(doors.engine("knowing", **shown))
    assert not error.retryable


async def test_a_file_of_tls_that_is_none_is_told_by_its_name(doors: Doors) -> None:
    with pytest.raises(InvalidArgument, match="TLS"):
        await doors.engine(ca="nothing").start()


async def test_the_check_of_engines_goes_through_the_door_too(doors: Doors) -> None:
    config = EngineConfig(url=doors.url("good"), password_file=str(doors.folder / "right"))
    (trial,) = await try_engine(config, str(doors.folder), SystemEnvironment(), rounds=1)
    assert (trial.port, trial.problem) == ("search", "")
    config = EngineConfig(url=doors.url("good"), password_file=str(doors.folder / "wrong"))
    (trial,) = await try_engine(config, str(doors.folder), SystemEnvironment(), rounds=1)
    assert "password" in trial.problem
