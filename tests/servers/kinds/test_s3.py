from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from soundstage.servers.cluster import Cluster

# Each starts a server, which may have to be brought first.
pytestmark = pytest.mark.slow

WHO = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


def asked(url: str, method: str = "GET", content: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Status and body."""
    plain = {"Authorization": WHO, "Content-Type": "application/octet-stream"}
    named = {**plain, **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(url, content, named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_it_keeps_objects_takes_conditions_and_is_empty_after_a_restart() -> None:
    with Cluster("s3") as cluster:
        bucket = f"{cluster.url}/films"
        assert asked(bucket, "PUT")[0] == 200
        assert asked(f"{bucket}/heat", "PUT", b"once upon", If_None_Match="*")[0] == 200
        assert asked(f"{bucket}/heat", "PUT", b"again", If_None_Match="*")[0] == 412
        assert asked(f"{bucket}/heat", Range="bytes=5-8") == (206, b"upon")
        cluster.restart()
        assert asked(f"{bucket}/heat")[0] == 404


def test_it_asks_for_credentials_after_as_many_requests_as_it_is_told() -> None:
    with Cluster("s3", settings={"checked_after": "1"}) as cluster:
        assert [asked(f"{cluster.url}/films", "PUT")[0], asked(f"{cluster.url}/more", "PUT")[0]] == [200, 403]
