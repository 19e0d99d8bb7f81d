"""What the door does not offer."""

from __future__ import annotations

import pytest

from soundstage.data.kv.resp.missing import REASONS


@pytest.mark.parametrize("reason", sorted(set(REASONS.values())))
def test_a_reason_is_one_clause(reason: str) -> None:
    assert 20 < len(reason) < 160
    assert not reason.endswith(".")
    assert "\n" not in reason


def test_names_are_written_in_capital_letters_once() -> None:
    assert all(name == name.upper() for name in REASONS)
    assert len(REASONS) >= 200


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (b"INCR", "count twice"),
        (b"MULTI", "transaction=False"),
        (b"KEYS", "use SCAN"),
        (b"LPUSH", "lists are no part of kv"),
        (b"EVAL", "no scripts"),
        (b"FLUSHALL", "namespaces/delete"),
    ],
)
def test_reasons_say_what_to_do_instead(name: bytes, says: str) -> None:
    assert says in REASONS[name]
