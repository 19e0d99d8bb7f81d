"""TLS as engines speak it to their servers: whom they trust, and what they show of themselves."""

from __future__ import annotations

import ssl

from soundstage.core.errors import InvalidArgument


def client_context(ca: str | None, cert: str | None, key: str | None, *, names: bool) -> ssl.SSLContext:
    """The context of a client, from PEM files; without `ca` it trusts whom this machine does.

    `names`: whether a server's certificate must name its host. Raises `InvalidArgument` for a file that is none.
    """
    for field, file in (("tls_ca", ca), ("tls_cert", cert), ("tls_key", key)):
        _readable(field, file)
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            # Without a password of ours OpenSSL would ask for one at the terminal.
            context.load_cert_chain(cert, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgument(f"the files of TLS cannot be used: {error}", field="tls_ca") from None
    context.check_hostname = names
    return context


def _readable(field: str, file: str | None) -> None:
    """OpenSSL says what it misses, and not of which file."""
    try:
        if file is not None:
            with open(file, "rb"):
                pass
    except OSError as error:
        raise InvalidArgument(f"the file {file} of TLS cannot be read: {error.strerror}", field=field) from None
