"""Where tables and their catalogue are: what the URL of an engine says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote

import msgspec
from msgspec import Meta

from soundstage.core.errors import InvalidArgument
from soundstage.core.size import Size
from soundstage.core.time import NS_PER_S, Duration
from soundstage.engines.options import read_options
from soundstage.engines.secret import Variable

CATALOGUE = "catalogue.db"


class IcebergOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of an engine of Iceberg tables, each of which may stand in the query of a URL with a host too."""

    warehouse: Annotated[
        str | None, Meta(description="folder, which all processes see, of the tables; only where the URL has a host")
    ] = None
    catalogue: Annotated[
        str, Meta(pattern="^[a-z0-9_.-]{1,64}$", description="engines of one catalogue see the same tables")
    ] = "soundstage"
    file: Annotated[
        Size,
        Meta(description="about how large a file of rows becomes in memory", extra={"bounds": ("1MiB", "1GiB")}),
    ] = Size(128 << 20)
    threads: Annotated[int, Meta(ge=1, le=64, description="that read and write at once")] = 4
    tries: Annotated[int, Meta(ge=1, le=1_000, description="of a change that others were quicker than")] = 20
    attempt: Annotated[
        Duration,
        Meta(description="how long the catalogue's database may take to let one in; 2s or more"),
    ] = Duration(5 * NS_PER_S)
    statement: Annotated[
        Duration,
        Meta(
            description="how long the catalogue's database may take for one statement",
            extra={"bounds": ("100ms", "1h")},
        ),
    ] = Duration(10 * NS_PER_S)
    password_file: Annotated[str | None, Meta(description="file whose first line is the password")] = None
    password_env: Annotated[Variable | None, Meta(description="environment variable that has it instead")] = None
    tls_ca: Annotated[
        str | None, Meta(description="PEM file of who signs the certificate of the catalogue's database; turns TLS on")
    ] = None
    tls_cert: Annotated[str | None, Meta(description="PEM file of this client's certificate")] = None
    tls_key: Annotated[str | None, Meta(description="PEM file of this client's key")] = None
    tls_names: Annotated[bool, Meta(description="whether the database's certificate must name its host")] = True


class Address(msgspec.Struct, frozen=True):
    """Where the catalogue and the warehouse are. `database` is a URL of SQLAlchemy, without a password."""

    database: str
    warehouse: str
    shared: bool
    options: IcebergOptions


def embedded_address(name: str, folder: str, options: Mapping[str, Any]) -> Address:
    """Everything in one folder, the catalogue as a database of SQLite. Raises `InvalidArgument`."""
    found = read_options(name, IcebergOptions, options)
    if found.warehouse is not None:
        raise InvalidArgument(
            "tables lie in the folder of the URL", field=f"engines.{name}.options.warehouse", hint="leave it out"
        )
    return Address(f"sqlite:///{folder}/{CATALOGUE}", f"{folder}/warehouse", False, found)


def shared_address(name: str, url: SplitResult, options: Mapping[str, Any], password_file: str | None) -> Address:
    """`iceberg+postgresql://role@host:port/database?warehouse=/folder` taken apart. Raises `InvalidArgument`."""
    field = f"engines.{name}.url"
    database = url.path.strip("/")
    if not url.hostname or not database:
        raise InvalidArgument(
            "the URL names no database",
            field=field,
            hint="write iceberg+postgresql://role@host/database?warehouse=/folder",
        )
    given: dict[str, Any] = dict(parse_qsl(url.query, keep_blank_values=True))
    for key in ("threads", "tries"):
        if str(given.get(key, "")).isdecimal():
            given[key] = int(given[key])
    named = str(given.get("tls_names", "")).lower()
    if named in ("true", "false"):
        given["tls_names"] = named == "true"
    if password_file is not None:
        given["password_file"] = password_file
    found = read_options(name, IcebergOptions, {**given, **options})
    if found.warehouse is None or not Path(found.warehouse).is_absolute():
        raise InvalidArgument(
            "tables need a folder that all processes see",
            field=f"engines.{name}.options.warehouse",
            hint="name it by its absolute path",
        )
    who = quote(unquote(url.username or "postgres"))
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    place = f"{who}@{host}:{url.port or 5432}/{quote(unquote(database))}"
    within_s = max(2, found.attempt // NS_PER_S)
    return Address(f"postgresql+psycopg://{place}?connect_timeout={within_s}", found.warehouse, True, found)
