"""Where the servers are and how they are spoken to: what the URL of an engine says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import SplitResult

import msgspec
from msgspec import Meta

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import NS_PER_MS, NS_PER_S, Duration
from soundstage.engines.options import given_by, read_options
from soundstage.engines.secret import Variable

DEFAULT_PORT = 11_211
NODES_MAX = 128


class MemcachedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the memcached engine, each of which may stand in the URL's query too."""

    within: Annotated[Duration, Meta(description="time a call has unless it says otherwise")] = Duration(
        250 * NS_PER_MS
    )
    connect_within: Annotated[
        Duration, Meta(description="time to connect, until calls may be made, and to answer a probe")
    ] = Duration(NS_PER_S)
    failures_max: Annotated[
        int, Meta(ge=1, le=1_000, description="calls in a row without an answer until a node is passed over")
    ] = 3
    probe_every: Annotated[
        Duration, Meta(description="how often one that is passed over is asked whether it is back")
    ] = Duration(NS_PER_S)
    prefix: Annotated[str, Meta(max_length=64, description="what every key begins with on the servers")] = ""
    user: Annotated[str | None, Meta(description="who logs in; see `password_file`")] = None
    password_file: Annotated[str | None, Meta(description="file whose first line is the password")] = None
    password_env: Annotated[Variable | None, Meta(description="environment variable that has it instead")] = None
    tls: Annotated[bool, Meta(description="TLS, by the certificates that this machine trusts")] = False
    tls_ca: Annotated[str | None, Meta(description="PEM file of who signs the servers' certificates; turns TLS on")] = (
        None
    )
    tls_cert: Annotated[str | None, Meta(description="PEM file of this client's certificate")] = None
    tls_key: Annotated[str | None, Meta(description="PEM file of this client's key")] = None
    tls_names: Annotated[bool, Meta(description="whether a server's certificate must name its host")] = True


class MemcachedAddress(msgspec.Struct, frozen=True):
    """What an engine's URL says: hosts and ports, and options."""

    places: tuple[tuple[str, int], ...]
    options: MemcachedOptions


def parse_address(
    name: str, url: SplitResult, options: Mapping[str, Any], password_file: str | None
) -> MemcachedAddress:
    """`memcached://user@host[:port],host[:port]?option=value` taken apart. Raises `InvalidArgument`."""
    try:
        places = addresses(url.netloc.rpartition("@")[2])
    except InvalidArgument as error:
        raise InvalidArgument(error.detail, field=f"engines.{name}.url", hint=error.hint) from None
    found = read_options(name, MemcachedOptions, {**given_by(url, _typed, password_file), **options})
    return MemcachedAddress(tuple(places), found)


def addresses(netloc: str) -> list[tuple[str, int]]:
    """The servers of `host[:port],host[:port]`. Raises `InvalidArgument`."""
    found: list[tuple[str, int]] = []
    for text in netloc.split(","):
        host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
        host, port = (host, port) if colon else (text, str(DEFAULT_PORT))
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
            raise InvalidArgument(
                f"{text!r} is no address of a memcached", hint="write memcached://host:11211,host:11211"
            )
        found.append((host.strip("[]"), int(port)))
    if len(set(found)) != len(found) or len(found) > NODES_MAX:
        raise InvalidArgument(f"a cache has 1 to {NODES_MAX} servers, each named once")
    return found


def _typed(key: str, value: str) -> Any:
    """An option of the query as the type that it has."""
    if key in ("tls", "tls_names"):
        return {"true": True, "false": False}.get(value.lower(), value)
    if key == "failures_max" and value.isdecimal():
        return int(value)
    return value
