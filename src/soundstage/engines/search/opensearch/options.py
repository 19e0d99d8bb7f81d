"""Where a cluster is and how it is spoken to: what the URL of an engine says."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import SplitResult, unquote

import msgspec
from msgspec import Meta

from soundstage.core.errors import InvalidArgument
from soundstage.engines.options import given_by, read_options
from soundstage.engines.secret import Variable, secret_from
from soundstage.engines.tls import client_context

PORT = 9200
_SPACE = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")
_NUMBERS = {"shards": int, "replicas": int, "connections": int, "patience_s": float}


class OpenSearchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of an engine on OpenSearch, each of which may stand in the URL's query too."""

    user: Annotated[str | None, Meta(description="who logs in; see `password_file`")] = None
    password_file: Annotated[str | None, Meta(description="file whose first line is the password")] = None
    password_env: Annotated[Variable | None, Meta(description="environment variable that has it instead")] = None
    tls: Annotated[bool, Meta(description="HTTPS, by the certificates that this machine trusts")] = False
    tls_ca: Annotated[str | None, Meta(description="PEM file of who signs the nodes' certificates; turns TLS on")] = (
        None
    )
    tls_cert: Annotated[str | None, Meta(description="PEM file of this client's certificate")] = None
    tls_key: Annotated[str | None, Meta(description="PEM file of this client's key")] = None
    tls_names: Annotated[bool, Meta(description="whether a node's certificate must name its host")] = True
    shards: Annotated[int, Meta(ge=1, le=100, description="of an index that is made; counts are exact with one")] = 1
    replicas: Annotated[int, Meta(ge=0, le=10, description="copies of an index that is made, besides the first")] = 0
    patience_s: Annotated[float, Meta(gt=0, le=600, description="how long a call without a deadline is tried")] = 10.0
    connections: Annotated[int, Meta(ge=1, le=1_000, description="requests under way at once")] = 32


class OpenSearchAddress(msgspec.Struct, frozen=True):
    """What an engine's URL says: nodes, the space that its indexes are in, and options."""

    hosts: tuple[str, ...]
    space: str
    options: OpenSearchOptions

    @property
    def bases(self) -> tuple[str, ...]:
        """The addresses of the nodes."""
        scheme = "https" if self.options.tls or self.options.tls_ca else "http"
        return tuple(f"{scheme}://{host}" for host in self.hosts)


def parse_address(
    name: str, url: SplitResult, options: Mapping[str, Any], password_file: str | None
) -> OpenSearchAddress:
    """The parts of an engine's URL. Raises `InvalidArgument`."""
    field = f"engines.{name}.url"
    hosts = tuple(_host(each, field) for each in url.netloc.rpartition("@")[2].split(","))
    space = unquote(url.path.strip("/")) or "main"
    if not _SPACE.fullmatch(space):
        raise InvalidArgument(
            f"{space!r} is no name of a space", field=field, hint="write opensearch://host/space with a-z, 0-9 and _"
        )
    found = read_options(name, OpenSearchOptions, {**given_by(url, _typed, password_file), **options})
    return OpenSearchAddress(hosts, space, found)


def password(options: OpenSearchOptions) -> str:
    """What the user logs in with. Raises `InvalidArgument` or `Unauthenticated`; see `secret_from`."""
    return secret_from(options.password_file, options.password_env)


def tls_context(options: OpenSearchOptions) -> ssl.SSLContext:
    """What is trusted and shown. Raises `InvalidArgument` for a file that is none."""
    return client_context(options.tls_ca, options.tls_cert, options.tls_key, names=options.tls_names)


def _host(text: str, field: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(PORT)
    if not host.strip("[]") or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise InvalidArgument(
            f"{text!r} names no node", field=field, hint="write opensearch://host[:port][,host…][/space]"
        )
    return f"{host}:{port}"


def _typed(key: str, value: str) -> Any:
    """An option of the query as the type that it has."""
    if key in ("tls", "tls_names"):
        return {"true": True, "false": False}.get(value.lower(), value)
    try:
        return _NUMBERS[key](value) if key in _NUMBERS else value
    except ValueError:
        return value
