"""Where a cluster is and how it is spoken to: what the URL of an engine says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import SplitResult, unquote

import msgspec
from msgspec import Meta

from soundstage.core.errors import InvalidArgument
from soundstage.engines.options import given_by, read_options
from soundstage.engines.secret import Variable

PORT = 9042

Consistency: TypeAlias = Literal["one", "local_one", "quorum", "local_quorum", "all"]


class CassandraOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of an engine on Cassandra, each of which may stand in the URL's query too."""

    consistency: Annotated[
        Consistency,
        Meta(description="of reads and writes; below a quorum of replicas nobody is promised to see what was written"),
    ] = "quorum"
    space: Annotated[
        str, Meta(pattern="^[a-z0-9_.-]{1,64}$", description="engines of one space of a keyspace see the same tables")
    ] = "main"
    replication: Annotated[
        int, Meta(ge=1, le=9, description="copies of each row, where the keyspace is made by the engine")
    ] = 3
    local_dc: Annotated[str | None, Meta(description="data centre whose nodes are asked; by default the first's")] = (
        None
    )
    user: Annotated[str | None, Meta(description="role that logs in; see `password_file`")] = None
    password_file: Annotated[str | None, Meta(description="file whose first line is the password")] = None
    password_env: Annotated[Variable | None, Meta(description="environment variable that has it instead")] = None
    tls_ca: Annotated[str | None, Meta(description="PEM file of who signs the nodes' certificates; turns TLS on")] = (
        None
    )
    tls_cert: Annotated[str | None, Meta(description="PEM file of this client's certificate")] = None
    tls_key: Annotated[str | None, Meta(description="PEM file of this client's key")] = None
    tls_names: Annotated[bool, Meta(description="whether a node's certificate must name its host")] = True
    tls_server_name: Annotated[
        str | None,
        Meta(description="host that the certificate of every node names; by default each names its own address"),
    ] = None
    patience_s: Annotated[
        float, Meta(gt=0, le=600, description="how long a call without a deadline is tried, in seconds")
    ] = 10.0
    attempt_s: Annotated[float, Meta(gt=0, le=600, description="how long one attempt may take, in seconds")] = 4.0
    start_s: Annotated[float, Meta(gt=0, le=3_600, description="how long a start waits for the cluster")] = 30.0
    in_flight: Annotated[int, Meta(ge=1, le=30_000, description="requests under way at once")] = 1_024
    waiting: Annotated[int, Meta(ge=0, le=1_000_000, description="requests that wait for their turn")] = 20_000
    paxos: Annotated[
        Literal["v2", "any"],
        Meta(description="`v2`: tables that take conditions are refused where the cluster runs an older Paxos"),
    ] = "v2"


class Address(msgspec.Struct, frozen=True):
    """What an engine's URL says: nodes to begin with, the keyspace, and options."""

    hosts: tuple[str, ...]
    port: int
    keyspace: str
    options: CassandraOptions


def parse_address(name: str, url: SplitResult, options: Mapping[str, Any], password_file: str | None) -> Address:
    """`cassandra://host[:port][,host…]/keyspace?option=value` taken apart. Raises `InvalidArgument`.

    All nodes listen at one port, which may stand after any of them.
    """
    field = f"engines.{name}.url"
    hosts, port = _hosts(field, url.netloc.rpartition("@")[2])
    keyspace = unquote(url.path.strip("/"))
    if not keyspace.isidentifier() or not keyspace.isascii() or len(keyspace) > 48 or keyspace.lower() != keyspace:
        raise InvalidArgument(
            f"{keyspace!r} is no name of a keyspace",
            field=field,
            hint="write cassandra://host/keyspace with up to 48 of a-z, 0-9 and _",
        )
    found = read_options(name, CassandraOptions, {**given_by(url, _typed, password_file), **options})
    return Address(hosts, port, keyspace, found)


def _hosts(field: str, netloc: str) -> tuple[tuple[str, ...], int]:
    hosts: list[str] = []
    ports: set[int] = set()
    for each in netloc.split(","):
        host, colon, port = each.rpartition(":")
        if not colon or each.endswith("]"):
            host, port = each, ""
        if not host.strip("[]") or (port and not port.isdecimal()):
            raise InvalidArgument(
                f"{netloc!r} names no node", field=field, hint="write cassandra://host[:port][,host…]/keyspace"
            )
        hosts.append(host.strip("[]"))
        ports |= {int(port)} if port else set()
    if len(ports) > 1:
        raise InvalidArgument("all nodes of a cluster listen at one port", field=field, hint="write it once")
    return tuple(hosts), ports.pop() if ports else PORT


def _typed(key: str, value: str) -> Any:
    """An option of the query as the type that it has."""
    kinds = {field.name: field.type for field in msgspec.structs.fields(CassandraOptions)}
    text = str(kinds.get(key, ""))
    if "bool" in text:
        return {"true": True, "false": False}.get(value.lower(), value)
    for kind, read in (("float", float), ("int", int)):
        if f"Annotated[{kind}" in text or f"'{kind}'" in text or kinds.get(key) is read:
            try:
                return read(value)
            except ValueError:
                return value
    return value
