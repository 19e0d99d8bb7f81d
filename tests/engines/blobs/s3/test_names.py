"""What objects are called, and of which put an object has the bytes."""

from __future__ import annotations

import pytest

from soundstage.engines.blobs.s3.names import Names, Put

PLAIN = Names("films/", "plain")
NUMBER = "0123456789abcdef" * 2
OTHER = "f" * 32


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("a/b.parquet", f"films/files/a/b.{NUMBER}.parquet"),
        ("list", f"films/files/list.{NUMBER}"),
        ("v1.2/list", f"films/files/v1.2/list.{NUMBER}"),
        ("a.tar.gz", f"films/files/a.tar.{NUMBER}.gz"),
        ("ends.", f"films/files/ends.{NUMBER}."),
        (OTHER, f"films/files/{OTHER}.{NUMBER}"),
        (f"a.{OTHER}", f"films/files/a.{NUMBER}.{OTHER}"),
        (f"{OTHER}.{OTHER}", f"films/files/{OTHER}.{NUMBER}.{OTHER}"),
    ],
)
def test_the_bytes_of_a_put_lie_under_its_key_with_the_end_at_the_end(key: str, name: str) -> None:
    assert PLAIN.bytes(key, NUMBER) == name
    assert PLAIN.put(name) == Put(key, NUMBER)


@pytest.mark.parametrize("name", ["films/files/a", "films/files/a.b", "films/files/a.b.c", f"films/files/{NUMBER}"])
def test_what_others_put_there_is_no_puts(name: str) -> None:
    assert PLAIN.put(name) is None


def test_packed_bytes_are_in_the_head() -> None:
    names = Names("films/", "packed")
    assert (names.head("a"), names.bytes("a", NUMBER)) == ("films/objects/a", None)


def test_heads_of_the_layouts_lie_apart() -> None:
    packed = Names("films/", "packed")
    assert (PLAIN.heads, PLAIN.others) == (packed.others, packed.heads)
