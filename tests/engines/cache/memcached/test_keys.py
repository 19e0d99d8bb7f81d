from __future__ import annotations

import base64
from collections import Counter

import pytest

from soundstage.engines.cache.memcached.keys import Ring, got, worded


@pytest.mark.parametrize("key", [b"a", b"k" * 250, b"user:17/films", b"!~"])
def test_a_plain_key_goes_as_it_is(key: bytes) -> None:
    assert worded(key) == (key, b"")


@pytest.mark.parametrize("key", [b" ", b"a b", b"\0", b"\x7f", b"\r\n", b"\xff" * 186, "ä".encode()])
def test_other_bytes_go_as_base64(key: bytes) -> None:
    word, flag = worded(key)
    assert (base64.b64decode(word), flag) == (key, b" b")


@pytest.mark.parametrize("key", [b"k" * 251, b"\xff" * 187, bytes(1_024)])
def test_a_long_key_goes_as_a_digest(key: bytes) -> None:
    word, flag = worded(key)
    assert flag == b" b"
    assert len(base64.b64decode(word)) == 26
    assert word != worded(key[:-1])[0]


def test_no_word_is_longer_than_a_memcached_takes() -> None:
    keys = [letter * size for letter in (b"k", b"\0") for size in range(1, 1_025)]
    assert max(len(worded(key)[0]) for key in keys) == 250


KEYS = [b"key %d" % number for number in range(4_000)]


def ring(*names: str) -> Ring[str]:
    return Ring([(name, name) for name in names])


def test_one_node_has_every_key() -> None:
    assert {ring("a:1").node(key) for key in KEYS[:50]} == {"a:1"}


def test_nodes_have_about_as_many_keys_each() -> None:
    shares = Counter(ring("a:1", "b:1", "c:1", "d:1").node(key) for key in KEYS)
    assert all(850 < share < 1_150 for share in shares.values())


def test_a_node_that_leaves_gives_its_keys_away_and_no_other_key_moves() -> None:
    before, after = ring("a:1", "b:1", "c:1"), ring("a:1", "b:1")
    assert all(after.node(key) == before.node(key) for key in KEYS if before.node(key) != "c:1")


def test_a_node_that_comes_takes_its_share_alone() -> None:
    before, after = ring("a:1", "b:1"), ring("a:1", "b:1", "c:1")
    moved = [after.node(key) for key in KEYS if after.node(key) != before.node(key)]
    assert set(moved) == {"c:1"}
    assert 1_150 < len(moved) < 1_520


def test_the_order_of_nodes_means_nothing() -> None:
    assert all(ring("a:1", "b:1").node(key) == ring("b:1", "a:1").node(key) for key in KEYS)


def test_plain_keys_are_got_by_a_command_each() -> None:
    assert got([b"a", b"bc"], b"") == b"mg a v f c\r\nmg bc v f c\r\n"


def test_one_key_that_is_not_plain_changes_no_other_command() -> None:
    assert got([b"a", b"b c"], b"") == b"mg a v f c\r\nmg YiBj v f c b\r\n"


def test_a_prefix_stands_before_every_key() -> None:
    assert got([b"a", b"b"], b"x:") == b"mg x:a v f c\r\nmg x:b v f c\r\n"


def test_a_key_may_not_end_its_command() -> None:
    assert got([b"a v\r\nflush_all"], b"").count(b"\r\n") == 1
