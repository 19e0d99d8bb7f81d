"""What travels beside messages."""

from __future__ import annotations

import pytest

from soundstage.core.call import DEFAULT_OPTIONS, LOCAL, Call, CallOptions, Principal


def test_a_call_without_more_is_the_owners_without_a_deadline() -> None:
    assert (Call().principal, Call().deadline_ns, Call().idempotency_key) == (LOCAL, None, None)


def test_the_owner_may_do_everything_everywhere() -> None:
    assert LOCAL.grants == {"*": ("admin",)}


def test_calls_do_not_change() -> None:
    with pytest.raises(AttributeError):
        Call().request_id = "r"  # pyright: ignore


def test_the_options_of_a_client_are_none_until_set() -> None:
    assert CallOptions() == DEFAULT_OPTIONS


def test_who_has_an_id_owns_what_is_of_it() -> None:
    assert Principal("ada", {}, "1").owns("1")
    assert not Principal("ada", {}, "1").owns("2")


def test_who_has_no_id_owns_nothing() -> None:
    assert not Principal("ada", {}).owns("")
