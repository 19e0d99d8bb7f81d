"""Where a cluster is and how it is spoken to: what the URL of an engine says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, parse_qsl, unquote

import msgspec
from msgspec import Meta

from soundstage.core.errors import InvalidArgument
from soundstage.engines.options import read_options
from soundstage.engines.secret import Variable, secret_from

PORT = 9092


class KafkaOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of an engine on Kafka, each of which may stand in the URL's query too."""

    space: Annotated[str, Meta(pattern="^[a-z0-9]{1,32}$", description="engines of one space see the same topics")] = (
        "main"
    )
    replication: Annotated[
        Annotated[int, Meta(ge=1, le=9)] | None,
        Meta(description="copies of a topic made by the engine; by default the broker's"),
    ] = None
    segment_s: Annotated[
        float,
        Meta(gt=0, le=31_536_000, description="after so many seconds a file of a topic is full, and may be compacted"),
    ] = 86_400.0
    compression: Annotated[
        Literal["none", "lz4", "zstd", "snappy", "gzip"], Meta(description="of what is appended")
    ] = "none"
    linger_ms: Annotated[
        float, Meta(ge=0, le=1_000, description="how long an append waits for others to go with it, in milliseconds")
    ] = 1.0
    user: Annotated[str | None, Meta(description="who logs in; see `password_file`")] = None
    password_file: Annotated[str | None, Meta(description="file whose first line is the password")] = None
    password_env: Annotated[Variable | None, Meta(description="environment variable that has it instead")] = None
    sasl: Annotated[Literal["plain", "scram_sha_256", "scram_sha_512"], Meta(description="how the user logs in")] = (
        "scram_sha_512"
    )
    tls_ca: Annotated[str | None, Meta(description="PEM file of who signs the brokers' certificates; turns TLS on")] = (
        None
    )
    tls_cert: Annotated[str | None, Meta(description="PEM file of this client's certificate")] = None
    tls_key: Annotated[str | None, Meta(description="PEM file of this client's key")] = None
    tls_names: Annotated[bool, Meta(description="whether a broker's certificate must name its host")] = True
    patience_s: Annotated[
        float, Meta(gt=0, le=600, description="how long a call without a deadline is tried, in seconds")
    ] = 10.0
    attempt_s: Annotated[float, Meta(gt=0, le=600, description="how long one attempt may take, in seconds")] = 4.0
    start_s: Annotated[float, Meta(gt=0, le=3_600, description="how long a start waits for the cluster")] = 30.0
    in_flight: Annotated[int, Meta(ge=1 << 20, le=1 << 30, description="bytes of appends under way at once")] = 64 << 20
    waiting: Annotated[int, Meta(ge=0, le=1_000_000, description="appends that wait for their turn")] = 20_000


class Address(msgspec.Struct, frozen=True):
    """What an engine's URL says: brokers to begin with, and options."""

    brokers: tuple[str, ...]
    options: KafkaOptions


def parse_address(name: str, url: SplitResult, options: Mapping[str, Any], password_file: str | None) -> Address:
    """`kafka://host[:port][,host[:port]…]?option=value` taken apart. Raises `InvalidArgument`."""
    field = f"engines.{name}.url"
    brokers = tuple(_broker(field, each) for each in url.netloc.rpartition("@")[2].split(","))
    if url.path.strip("/"):
        raise InvalidArgument(f"{url.path!r} names nothing in Kafka", field=field, hint="write kafka://host:port")
    given: dict[str, Any] = dict(parse_qsl(url.query, keep_blank_values=True))
    if url.username:
        given["user"] = unquote(url.username)
    if password_file is not None:
        given["password_file"] = password_file
    return Address(brokers, read_options(name, KafkaOptions, {**_typed(given), **options}))


def client_settings(address: Address) -> dict[str, Any]:
    """How every client of the driver is set. Raises `InvalidArgument` for files that cannot be read."""
    options = address.options
    settings: dict[str, Any] = {
        "bootstrap.servers": ",".join(address.brokers),
        "client.id": "soundstage",
        "security.protocol": _protocol(options),
        "socket.connection.setup.timeout.ms": max(1_000, round(options.attempt_s * 1_000)),
        # A broker that hangs holds up what was sent to it for so long, until another is asked.
        "socket.timeout.ms": max(1_000, round(min(options.attempt_s, options.patience_s) * 1_000)),
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "retry.backoff.ms": 50,
        "topic.metadata.refresh.fast.interval.ms": 50,
        "enable.metrics.push": False,
        # The driver logs each broker that is down again and again; who asks gets a typed error.
        "log_level": 0,
    }
    if options.user is not None:
        settings["sasl.mechanism"] = options.sasl.upper().replace("_", "-")
        settings["sasl.username"] = options.user
        settings["sasl.password"] = secret_from(options.password_file, options.password_env)
    for field, setting in (
        ("tls_ca", "ssl.ca.location"),
        ("tls_cert", "ssl.certificate.location"),
        ("tls_key", "ssl.key.location"),
    ):
        path = getattr(options, field)
        if path is not None:
            _check_readable(path, field)
            settings[setting] = path
    if options.tls_ca is not None and not options.tls_names:
        settings["ssl.endpoint.identification.algorithm"] = "none"
    return settings


def _protocol(options: KafkaOptions) -> str:
    security = "ssl" if options.tls_ca is not None else "plaintext"
    return security if options.user is None else f"sasl_{security}"


def _check_readable(path: str, field: str) -> None:
    if not os.access(path, os.R_OK):
        raise InvalidArgument(f"{path} cannot be read", field=f"engines.options.{field}")


def _broker(field: str, place: str) -> str:
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        host, port = place, str(PORT)
    if not host.strip("[]") or not port.isdecimal():
        raise InvalidArgument(f"{place!r} names no broker", field=field, hint="write kafka://host:port[,host:port…]")
    return f"{host}:{port}"


def _typed(given: Mapping[str, str]) -> dict[str, Any]:
    """Options of the query as the types that they have."""
    kinds = {field.name: str(field.type) for field in msgspec.structs.fields(KafkaOptions)}
    found: dict[str, Any] = {}
    for name, text in given.items():
        found[name] = text
        kind = kinds.get(name, "")
        if "bool" in kind:
            found[name] = {"true": True, "false": False}.get(text.lower(), text)
        elif "float" in kind or "int" in kind:
            try:
                found[name] = float(text) if "float" in kind else int(text)
            except ValueError:
                continue
    return found
