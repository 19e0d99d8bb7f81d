"""The URLs of tables on Iceberg, taken apart."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.core.size import Size
from soundstage.engines.tables.iceberg.options import Address, embedded_address, shared_address


def shared(url: str, options: dict[str, Any] | None = None, password_file: str | None = None) -> Address:
    return shared_address("tables", urlsplit(url), options or {}, password_file)


def test_an_embedded_catalogue_lies_beside_its_tables() -> None:
    found = embedded_address("tables", "/data/tables", {"threads": 2, "file": "1MiB"})
    assert (found.database, found.warehouse) == ("sqlite:////data/tables/catalogue.db", "/data/tables/warehouse")
    assert (found.shared, found.options.threads, found.options.file) == (False, 2, Size(1 << 20))


def test_an_embedded_one_has_no_warehouse_elsewhere() -> None:
    with pytest.raises(InvalidArgument) as refused:
        embedded_address("tables", "/data/tables", {"warehouse": "/elsewhere"})
    assert refused.value.field == "engines.tables.options.warehouse"


@pytest.mark.parametrize(
    ("place", "database"),
    [
        ("db/films", "postgresql+psycopg://postgres@db:5432/films?connect_timeout=5"),
        ("reader@db:6432/films", "postgresql+psycopg://reader@db:6432/films?connect_timeout=5"),
        ("a%40b@[::1]/films", "postgresql+psycopg://a%40b@[::1]:5432/films?connect_timeout=5"),
    ],
)
def test_a_shared_catalogue_is_in_the_database_of_the_url(place: str, database: str) -> None:
    found = shared(f"iceberg+postgresql://{place}?warehouse=/shared&threads=8&catalogue=films")
    assert (found.database, found.warehouse, found.shared) == (database, "/shared", True)
    assert (found.options.threads, found.options.catalogue) == (8, "films")


@pytest.mark.parametrize(("attempt", "seconds"), [("1s", 2), ("2500ms", 2), ("30s", 30)])
def test_the_database_has_whole_seconds_to_let_one_in(attempt: str, seconds: int) -> None:
    found = shared(f"iceberg+postgresql://db/films?warehouse=/a&attempt={attempt}")
    assert found.database.endswith(f"?connect_timeout={seconds}")


def test_options_of_the_stage_file_go_before_those_of_the_query() -> None:
    assert shared("iceberg+postgresql://db/films?warehouse=/a", {"warehouse": "/b"}).warehouse == "/b"


def test_where_the_password_is_is_known_and_it_is_not_read_yet() -> None:
    found = shared("iceberg+postgresql://db/films?warehouse=/a&password_env=NOT_SET", password_file="/none")
    assert (found.options.password_file, found.options.password_env) == ("/none", "NOT_SET")
    assert found.database == "postgresql+psycopg://postgres@db:5432/films?connect_timeout=5"


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("iceberg+postgresql:///films?warehouse=/a", "url"),
        ("iceberg+postgresql://db?warehouse=/a", "url"),
        ("iceberg+postgresql://db/films", "options.warehouse"),
        ("iceberg+postgresql://db/films?warehouse=relative", "options.warehouse"),
        ("iceberg+postgresql://db/films?warehouse=/a&threads=0", "options.threads"),
        ("iceberg+postgresql://db/films?warehouse=/a&catalogue=A%20B", "options.catalogue"),
        ("iceberg+postgresql://db/films?warehouse=/a&tires=4", "options.tires"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(url: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        shared(url)
    assert refused.value.field == f"engines.tables.{field}"
