from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from soundstage.core.errors import InvalidArgument
from soundstage.runtime.config import AuthConfig, TlsConfig
from soundstage.runtime.exposure import check_exposure, first_line, host_and_port, is_loopback, tls_context

OPEN = AuthConfig()
CLOSED = AuthConfig(mode="tokens")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]", "x.localhost"])
def test_loopback_is_for_this_machine_alone(host: str) -> None:
    assert is_loopback(host)
    check_exposure(host, OPEN)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org", "127.0.0.1.example.org"])
def test_everything_else_is_refused_without_authentication(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(InvalidArgument, match="no authentication is configured") as caught:
        check_exposure(host, OPEN)
    assert "tokens create" in str(caught.value.hint)


def test_with_authentication_any_address_will_do() -> None:
    check_exposure("0.0.0.0", CLOSED)


def test_insecure_overrides() -> None:
    check_exposure("0.0.0.0", OPEN, insecure=True)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> TlsConfig:
    folder = tmp_path_factory.mktemp("certificates")
    issued = trustme.CA().issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    return TlsConfig(certificate=str(folder / "certificate.pem"), key=str(folder / "key.pem"))


def test_without_a_certificate_there_is_no_tls() -> None:
    assert tls_context(TlsConfig()) is None


def test_a_certificate_makes_a_server_context(certificate: TlsConfig) -> None:
    context = tls_context(certificate)
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE


def test_with_a_client_authority_callers_must_show_a_certificate(certificate: TlsConfig) -> None:
    context = tls_context(
        TlsConfig(certificate=certificate.certificate, key=certificate.key, client_ca=certificate.certificate)
    )
    assert context is not None
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_an_encrypted_key_is_opened_with_the_password_of_the_file(certificate: TlsConfig, tmp_path: Path) -> None:
    encrypted, password = tmp_path / "encrypted.pem", tmp_path / "password"
    plain = load_pem_private_key(Path(str(certificate.key)).read_bytes(), None)
    locked = BestAvailableEncryption(b"hunter2")
    encrypted.write_bytes(plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    password.write_text("hunter2\n")
    config = TlsConfig(certificate=certificate.certificate, key=str(encrypted), key_password_file=str(password))
    assert tls_context(config) is not None
    with pytest.raises(InvalidArgument, match="cannot be used"):
        tls_context(TlsConfig(certificate=certificate.certificate, key=str(encrypted)))


def test_a_key_without_a_certificate_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        tls_context(TlsConfig(key="key.pem"))
    assert caught.value.field == "http.tls.certificate"


def test_a_missing_certificate_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="No such file"):
        tls_context(TlsConfig(certificate="/nowhere.pem"))


def test_a_secret_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(" s3cret \nnot this\n")
    assert first_line(str(path)) == "s3cret"


@pytest.mark.parametrize("content", ["", "\nlater"])
def test_an_empty_secret_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secret"
    path.write_text(content)
    with pytest.raises(InvalidArgument, match="is empty"):
        first_line(str(path))


def test_a_missing_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        first_line(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:9100", ("127.0.0.1", 9100)), ("[::1]:0", ("::1", 0)), ("localhost:65535", ("localhost", 65535))],
)
def test_an_address_is_a_host_and_a_port(address: str, parts: tuple[str, int]) -> None:
    assert host_and_port(address) == parts


@pytest.mark.parametrize("address", ["", "9100", ":9100", "localhost", "localhost:", "h:http", "h:65536", "h:²"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        host_and_port(address)
    assert refused.value.field == "http.metrics_listen"
