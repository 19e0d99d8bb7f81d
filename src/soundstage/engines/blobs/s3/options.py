"""Where a bucket is and how it is spoken to: what the URL of an engine says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec
from msgspec import Meta

from soundstage.core.errors import InvalidArgument
from soundstage.core.size import Size
from soundstage.core.time import NS_PER_S, Duration
from soundstage.engines.blobs.s3.names import Layout
from soundstage.engines.options import given_by, read_options
from soundstage.engines.secret import Variable

_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}")
_PREFIX_MAX_CHARS = 400
"""An object's name has at most 1,024 bytes."""

_MIB = 1 << 20


class S3Options(msgspec.Struct, frozen=True, kw_only=True):
    """Options of an engine on S3, each of which may stand in the URL's query too."""

    endpoint: Annotated[
        str | None, Meta(description="http or https address of the server; none: that of AWS in `region`")
    ] = None
    region: Annotated[str | None, Meta(description="none: as the environment or the profile says")] = None
    profile: Annotated[str | None, Meta(description="section of the files ~/.aws/config and ~/.aws/credentials")] = None
    access_key: Annotated[
        str | None,
        Meta(description="id of the key; see `password_file` for its secret. None: as environment, files or host say"),
    ] = None
    password_file: Annotated[str | None, Meta(description="file whose first line is the secret key")] = None
    password_env: Annotated[Variable | None, Meta(description="environment variable that has it instead")] = None
    path_style: Annotated[
        bool | None,
        Meta(description="the bucket stands in the path, not in the host; none: so where an endpoint is named"),
    ] = None
    tls_ca: Annotated[str | None, Meta(description="PEM file of who signs the server's certificate")] = None
    checksums: Annotated[
        bool, Meta(description="a CRC32 goes with what is sent, for the server to check; old servers refuse it")
    ] = True
    layout: Annotated[
        Layout,
        Meta(description="`plain`: each blob's bytes are an object of their own, for other programs; never changes"),
    ] = "packed"
    part: Annotated[
        Size,
        Meta(
            description="blobs over it are sent in parts of this size, 10,000 at most",
            extra={"bounds": ("5MiB", "1GiB")},
        ),
    ] = Size(8 * _MIB)
    parts_at_once: Annotated[int, Meta(ge=1, le=32, description="parts of one blob that are under way at once")] = 3
    quota: Annotated[Size | None, Meta(description="more bytes of blobs than this are refused; none: no limit")] = None
    connections: Annotated[int, Meta(ge=1, le=1_000, description="to the server, at once")] = 64
    waiting: Annotated[int, Meta(ge=0, le=100_000, description="calls that wait for a connection")] = 1_000
    attempt: Annotated[Duration, Meta(description="how long the server may be silent before it is asked again")] = (
        Duration(5 * NS_PER_S)
    )
    patience: Annotated[Duration, Meta(description="how long one request is tried")] = Duration(20 * NS_PER_S)


class Address(msgspec.Struct, frozen=True):
    """What an engine's URL says: the bucket, what all names of objects begin with, and options."""

    bucket: str
    prefix: str
    options: S3Options


def parse_address(name: str, url: SplitResult, options: Mapping[str, Any], password_file: str | None) -> Address:
    """`s3://bucket/prefix?option=value` taken apart. Raises `InvalidArgument`."""
    field = f"engines.{name}.url"
    bucket = url.netloc.rpartition("@")[2]
    if not _BUCKET.fullmatch(bucket):
        raise InvalidArgument(
            f"{bucket!r} is no name of a bucket", field=field, hint="write s3://bucket/prefix?endpoint=…&region=…"
        )
    prefix = unquote(url.path.strip("/"))
    if len(prefix.encode()) > _PREFIX_MAX_CHARS or not prefix.isprintable():
        raise InvalidArgument(f"the prefix is no name of up to {_PREFIX_MAX_CHARS} bytes", field=field)
    given = given_by(url, _typed, password_file, user="access_key")
    found = read_options(name, S3Options, {**given, **options}, _check)
    return Address(bucket, f"{prefix}/" if prefix else "", found)


def _check(options: S3Options) -> None:
    if options.endpoint is not None:
        parts = urlsplit(options.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise InvalidArgument(
                f"{options.endpoint!r} is no address of a server",
                field="endpoint",
                hint="write http://host:port or https://host:port",
            )
    if (options.access_key is None) != (options.password_file is None and options.password_env is None):
        raise InvalidArgument(
            "an access key and the place of its secret go together",
            field="access_key",
            hint="name both, or neither and use the environment or ~/.aws/credentials",
        )


def _typed(key: str, value: str) -> Any:
    """An option of the query as the type that it has."""
    if key in ("path_style", "checksums"):
        return {"true": True, "false": False}.get(value.lower(), value)
    if key in ("parts_at_once", "connections", "waiting") and value.isdecimal():
        return int(value)
    return value
