"""How a client reaches its stage."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from soundstage.core.errors import InvalidArgument
from soundstage.core.policy import HedgePolicy, RetryPolicy


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every call of a connection.

    `token_file` is read once, when the connection is made. `timeout` is the deadline, in seconds, of calls
    that set none. `hedge` None sends no second request beside a slow read, unless its namespace signals when to. With
    `attune` false no signals are asked for or heeded, and values come and go as they are stored. `max_connections`
    bounds the calls under way; further ones wait, within their deadline. `ca` is a PEM file of authorities to trust
    instead of the system's; `certificate` (and `key`) a PEM file to show to the server.
    """

    token: str | None = None
    token_file: str | None = None
    format: Literal["msgpack", "json"] = "msgpack"
    timeout: float = 30.0
    retry: RetryPolicy = RetryPolicy()
    hedge: HedgePolicy | None = None
    attune: bool = True
    max_connections: int = 100
    max_reply_bytes: int = 64 << 20
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        for name in ("timeout", "max_connections", "max_reply_bytes"):
            if getattr(self, name) <= 0:
                raise InvalidArgument(f"{name} is not positive", field=name, hint="leave it out for the default")
        if self.format not in ("msgpack", "json"):
            raise InvalidArgument(f"{self.format!r} is no format", field="format", hint='use "msgpack" or "json"')

    def bearer(self) -> str | None:
        """The token to send, from `token` or the first line of `token_file`."""
        if self.token is not None:
            return self.token
        if self.token_file is None:
            return None
        try:
            first = Path(self.token_file).read_text().partition("\n")[0].strip()
        except (OSError, ValueError) as error:
            raise _no_token(f"no token could be read from {self.token_file}: {error}") from None
        if not first or not first.isascii() or not first.isprintable() or set(first) & set(' {}[]"'):
            raise _no_token(f"{self.token_file} holds no token")
        return first

    def trust(self) -> ssl.SSLContext:
        """The TLS context that `ca`, `certificate` and `key` ask for."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidArgument(
                f"the TLS files cannot be used: {error}",
                field="ca" if self.certificate is None else "certificate",
                hint="name readable files in PEM form",
            ) from None
        return context


def _no_token(detail: str) -> InvalidArgument:
    return InvalidArgument(
        detail,
        field="token_file",
        hint="name a file whose first line is the `bearer` that `soundstage tokens create` shows, and nothing else",
    )


def check_url(url: str) -> str:
    """`url` without a trailing slash; raises `InvalidArgument` for anything but http(s)://host[:port][/path]."""
    hint = 'write it as "http://127.0.0.1:7777"'
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise InvalidArgument(f"{url!r} is no address of a stage", field="url", hint=hint) from None
    if not usable or parts.query or parts.fragment:
        raise InvalidArgument(f"{url!r} is no address of a stage", field="url", hint=hint)
    if parts.username is not None or parts.password is not None:
        raise InvalidArgument("a stage's address holds no credentials", field="url", hint="give them as `token`")
    return url.rstrip("/")
