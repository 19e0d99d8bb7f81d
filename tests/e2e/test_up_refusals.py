"""What keeps `soundstage up` from starting is told in one line that says what to do, and ends it with 2."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from tests.e2e.conftest import Cli, Start
from tests.e2e.processes import Ended

pytestmark = pytest.mark.slow


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which something else listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def refusal(ended: Ended) -> str:
    """The one line that the command ended with."""
    assert (ended.code, ended.out) == (2, "")
    lines = ended.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("soundstage: ")
    return lines[0]


def test_a_port_in_use(cli: Cli, taken: int) -> None:
    line = refusal(cli("up", "--port", str(taken)))
    assert f"127.0.0.1:{taken} is in use" in line
    assert "--port" in line


def test_a_port_in_use_by_the_listener_for_metrics(cli: Cli, taken: int) -> None:
    line = refusal(cli("up", "--port", "0", "--metrics-listen", f"127.0.0.1:{taken}"))
    assert f"127.0.0.1:{taken} is in use" in line
    assert "--metrics-listen" in line


def test_a_port_in_use_leaves_the_folder_to_others(cli: Cli, taken: int) -> None:
    refusal(cli("up", "--port", str(taken)))
    assert cli("namespaces", "put", "--namespace.name", "films", "--namespace.abstraction", "kv").code == 0


def test_a_folder_held_by_another_process_names_it_and_its_address(start: Start, cli: Cli) -> None:
    holder = start("up", "--port", "0")
    url = holder.ready()
    line = refusal(cli("up", "--port", "0"))
    assert str(holder.pid) in line
    assert url in line
    assert "soundstage-data" in line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[http", "stage.toml is no TOML"),
        ("[htp]\nport = 1", "did you mean http"),
        ("[http]\nprot = 1", "did you mean port"),
        ('[http]\nport = "many"', "http.port"),
        ("[http]\nport = 65536", "http.port"),
        ("[engines.default]\nurl = 'casandra://x'", "unknown scheme"),
        ("[engines.default]\nurl = 'rocksdb://user:pw@host/x'", "password_file"),
        ("[control]\nengine = 'defualt'", "did you mean 'default'"),
        ("[namespaces.x]\nabstraction = 'kw'", "abstractions are kv"),
        ("[namespaces.x]\nabstraction = 'kv'\nconfig.page_size_byte = 1", "page_size_bytes"),
        ("[http.tls]\ncertificate = 'none.pem'", "certificates cannot be used"),
        ("[telemetry]\nlog_level = 'loud'", "telemetry.log_level"),
        ("[http]\nmetrics_listen = 'everywhere'", "HOST:PORT"),
    ],
)
def test_a_stage_file_that_is_wrong(cli: Cli, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "stage.toml").write_text(text)
    assert says in refusal(cli("up", "--stage", "stage.toml"))


def test_a_stage_file_that_is_not_there(cli: Cli) -> None:
    assert "absent.toml cannot be read" in refusal(cli("up", "--stage", "absent.toml"))


def test_a_data_folder_that_is_a_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be used" in refusal(cli("up", "--port", "0", "--data", "file"))


def test_an_address_that_is_not_of_this_machine(cli: Cli) -> None:
    assert "192.0.2.1:0 cannot be listened on" in refusal(cli("up", "--host", "192.0.2.1", "--port", "0", "--insecure"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_machines_are_not_served_without_authentication(cli: Cli, host: str) -> None:
    line = refusal(cli("up", "--host", host, "--port", "0"))
    assert "no authentication is configured" in line
    assert "--insecure" in line


def test_insecure_serves_other_machines_all_the_same(start: Start, cli: Cli) -> None:
    url = start("up", "--host", "0.0.0.0", "--port", "0", "--insecure").ready()
    port = url.rpartition(":")[2]
    assert cli("namespaces", "list", "--url", f"http://127.0.0.1:{port}").code == 0


def test_with_authentication_other_machines_are_served(start: Start) -> None:
    stage = start("up", "--host", "0.0.0.0", "--port", "0", variables={"SOUNDSTAGE_AUTH__MODE": "tokens"})
    assert stage.ready()


def test_a_key_of_another_certificate(cli: Cli, tmp_path: Path) -> None:
    authority = trustme.CA()
    for name in ("one", "two"):
        issued = authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
    (tmp_path / "stage.toml").write_text('[http.tls]\ncertificate = "one.pem"\nkey = "two.key"\n')
    assert "belongs to the certificate" in refusal(cli("up", "--port", "0", "--stage", "stage.toml"))
