"""Refuses to serve strangers without authentication, and makes TLS contexts."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from pathlib import Path

from soundstage.core.errors import InvalidArgument
from soundstage.runtime.config import AuthConfig, TlsConfig

PORT_MAX = 65_535


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, auth: AuthConfig, insecure: bool = False, field: str = "http.host") -> None:
    """Raise `InvalidArgument` when a listener on `host` would serve other machines without authentication."""
    if auth.mode == "none" and not insecure and not is_loopback(host):
        raise InvalidArgument(
            f"{host} can be reached from other machines, and no authentication is configured",
            field=field,
            hint='make a token with `soundstage tokens create` and set auth.mode = "tokens", bind 127.0.0.1, '
            f"or {'pass --insecure' if field == 'http.host' else 'set insecure there'}",
        )


def host_and_port(address: str, field: str = "http.metrics_listen") -> tuple[str, int]:
    """The two parts of an address to listen on. Raises `InvalidArgument` when it has not both."""
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > PORT_MAX:
        raise InvalidArgument(f"{address!r} is no HOST:PORT", field=field, hint='write "127.0.0.1:9100"')
    return host.strip("[]"), int(port)


def tls_context(
    config: TlsConfig, field: str = "http.tls", protocols: tuple[str, ...] = ("http/1.1",)
) -> ssl.SSLContext | None:
    """The context of a listener, or None without a certificate. Raises `InvalidArgument` for unusable files."""
    if config.certificate is None:
        if config.key is not None or config.client_ca is not None:
            raise InvalidArgument(
                f"{field} has no certificate",
                field=f"{field}.certificate",
                hint="name the certificate chain in PEM form",
            )
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if protocols:
        context.set_alpn_protocols(list(protocols))
    # Without a password of ours OpenSSL would ask for one at the terminal.
    password = "" if config.key_password_file is None else first_line(config.key_password_file)
    try:
        context.load_cert_chain(config.certificate, config.key, password=password)
        if config.client_ca is not None:
            context.load_verify_locations(config.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgument(
            f"the certificates cannot be used: {error.strerror or error}",
            field=field,
            hint="check the paths, and that the key belongs to the certificate",
        ) from None
    return context


def first_line(path: str) -> str:
    """The secret in a file. Raises `InvalidArgument` when it cannot be read or is empty."""
    try:
        line = Path(path).read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"the secret file {path} cannot be read: {error}") from None
    if not line:
        raise InvalidArgument(f"the secret file {path} is empty")
    return line
