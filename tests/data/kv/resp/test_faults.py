"""Errors as replies."""

from __future__ import annotations

import pytest

from soundstage.core.errors import ERRORS, DeadlineExceeded, Exhausted, NotFound
from soundstage.data.kv.resp.faults import PREFIXES, CommandError, line_of


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_error_has_its_first_word(code: str) -> None:
    assert line_of(ERRORS[code]("what")).startswith(f"{PREFIXES[code]} what")


def test_what_to_do_is_said() -> None:
    assert line_of(NotFound("gone", hint="make it")) == "NOTFOUND gone; make it"


def test_how_long_to_wait_is_said() -> None:
    assert "retry after 50 ms" in line_of(Exhausted("busy", retry_after_ms=50))


def test_of_a_write_that_may_have_been_done_it_is_said() -> None:
    assert "may or may not" in line_of(DeadlineExceeded("late", outcome="unknown"))


def test_an_error_of_a_command_is_counted_by_its_first_word() -> None:
    assert CommandError("WRONGTYPE Operation").code == "WRONGTYPE"
