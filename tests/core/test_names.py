"""What a name was probably meant to be."""

from __future__ import annotations

import pytest

from soundstage.core.names import nearest


def test_a_typo_finds_its_name() -> None:
    assert nearest("namesapce", ["namespace", "items", "id"]) == "namespace"


def test_a_stranger_finds_nothing() -> None:
    assert nearest("zebra", ["namespace", "items", "id"]) is None


def test_nothing_is_known() -> None:
    assert nearest("x", []) is None


def test_of_equals_the_order_of_the_known_does_not_matter() -> None:
    assert nearest("ab", ["ac", "ad"]) == nearest("ab", ["ad", "ac"])


@pytest.mark.parametrize("name", ["mutate_items", "rename_items", "handshake"])
def test_a_name_that_only_ends_like_others_is_near_to_none(name: str) -> None:
    assert nearest(name, ["put_items", "get_items", "delete_items", "batch_get_items", "count_items"]) is None


@pytest.mark.parametrize("name", ["put_item", "puts_items", "putitems", "pu_items", "Put_items"])
def test_a_slip_is_near_to_what_was_meant(name: str) -> None:
    assert nearest(name, ["put_items", "get_items", "delete_items"]) == "put_items"
