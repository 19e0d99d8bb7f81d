"""The URL of an engine on S3, taken apart."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.core.size import Size
from soundstage.core.time import NS_PER_S, Duration
from soundstage.engines.blobs.s3.options import Address, S3Options, parse_address


def parsed(url: str, options: dict[str, Any] | None = None, password_file: str | None = None) -> Address:
    return parse_address("films", urlsplit(url), options or {}, password_file)


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://films", "films", ""),
        ("s3://films/", "films", ""),
        ("s3://films.example/a", "films.example", "a/"),
        ("s3://films/a/b/", "films", "a/b/"),
        ("s3://films/with%20space", "films", "with space/"),
    ],
)
def test_a_url_names_a_bucket_and_what_objects_begin_with(url: str, bucket: str, prefix: str) -> None:
    assert parsed(url) == Address(bucket, prefix, S3Options())


def test_options_stand_in_the_query() -> None:
    found = parsed(
        "s3://films?endpoint=http://127.0.0.1:9000&region=eu-west-1&part=16MiB&parts_at_once=5&connections=9"
        "&waiting=7&attempt=2s&patience=9s&path_style=false&checksums=false&quota=1GiB"
    ).options
    assert found == S3Options(
        endpoint="http://127.0.0.1:9000",
        region="eu-west-1",
        part=Size(16 << 20),
        parts_at_once=5,
        connections=9,
        waiting=7,
        attempt=Duration(2 * NS_PER_S),
        patience=Duration(9 * NS_PER_S),
        path_style=False,
        checksums=False,
        quota=Size(1 << 30),
    )


def test_options_of_the_stage_file_go_before_those_of_the_query() -> None:
    assert parsed("s3://films?region=eu-west-1", {"region": "eu-west-2"}).options.region == "eu-west-2"


def test_a_key_stands_before_the_bucket_and_its_secret_in_a_file() -> None:
    found = parsed("s3://AKIA@films/a", password_file="/run/secret").options
    assert (found.access_key, found.password_file) == ("AKIA", "/run/secret")


def test_the_secret_of_a_key_may_be_in_a_variable() -> None:
    found = parsed("s3://AKIA@films/a?password_env=FILMS_SECRET").options
    assert (found.access_key, found.password_env, found.password_file) == ("AKIA", "FILMS_SECRET", None)


@pytest.mark.parametrize("bucket", ["", "a", "a_b!", "-films", "x" * 256])
def test_what_is_no_name_of_a_bucket_is_refused_with_advice(bucket: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parsed(f"s3://{bucket}/a")
    assert (refused.value.field, bool(refused.value.hint)) == ("engines.films.url", True)


@pytest.mark.parametrize("prefix", ["a" * 401, "a%0Ab"])
def test_what_is_no_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parsed(f"s3://films/{prefix}")
    assert refused.value.field == "engines.films.url"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("endpoint=127.0.0.1:9000", "endpoint"),
        ("endpoint=ftp://127.0.0.1", "endpoint"),
        ("endpoint=http://me:secret@127.0.0.1", "endpoint"),
        ("access_key=AKIA", "access_key"),
        ("password_file=/run/secret", "access_key"),
        ("password_env=FILMS_SECRET", "access_key"),
        ("parts_at_once=many", "parts_at_once"),
        ("parts_at_once=0", "parts_at_once"),
        ("checksums=maybe", "checksums"),
        ("regoin=eu-west-1", "regoin"),
    ],
)
def test_an_option_that_is_none_is_refused_by_its_name(query: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parsed(f"s3://films?{query}")
    assert refused.value.field == f"engines.films.options.{field}"
