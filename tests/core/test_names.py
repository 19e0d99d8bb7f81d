"""What a name was probably meant to be."""

from __future__ import annotations

from soundstage.core.names import nearest


def test_a_typo_finds_its_name() -> None:
    assert nearest("namesapce", ["namespace", "items", "id"]) == "namespace"


def test_a_stranger_finds_nothing() -> None:
    assert nearest("zebra", ["namespace", "items", "id"]) is None


def test_nothing_is_known() -> None:
    assert nearest("x", []) is None


def test_of_equals_the_order_of_the_known_does_not_matter() -> None:
    assert nearest("ab", ["ac", "ad"]) == nearest("ab", ["ad", "ac"])
