from __future__ import annotations

import json

import pytest

from soundstage.core.errors import (
    DataLoss,
    DeadlineExceeded,
    Exhausted,
    Internal,
    InvalidArgument,
    NotFound,
    SoundstageError,
    Unavailable,
)
from soundstage.surface.cli.failure import FAILED, USAGE, CommandFailure, line_of, not_started, report, typed, usage


def test_usage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    report(usage("that is no flag", hint="see soundstage --help"), as_json=False)
    assert capsys.readouterr() == ("", "soundstage: that is no flag (see soundstage --help)\n")


def test_a_field_is_named_unless_the_words_do() -> None:
    assert line_of(InvalidArgument("it is empty", field="id")) == "soundstage: id: it is empty"
    assert line_of(InvalidArgument("id is empty", field="id")) == "soundstage: id is empty"


def test_a_line_stays_a_line_whatever_it_quotes() -> None:
    assert line_of(InvalidArgument("a\nb\x1b[2J")) == "soundstage: a b\\x1b[2J"


def test_a_failed_operation_is_told_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    error = Exhausted("the quota is used up", field="namespace", hint="wait", retry_after_ms=50, outcome="not_applied")
    error.request_id = "r-1"
    report(CommandFailure(error, FAILED), as_json=False)
    assert capsys.readouterr().err.splitlines() == [
        "soundstage: the quota is used up",
        "  code: exhausted",
        "  field: namespace",
        "  hint: wait",
        "  outcome: not applied",
        "  retry: after 50 ms",
        "  request: r-1",
    ]


def test_an_unknown_outcome_says_what_it_means(capsys: pytest.CaptureFixture[str]) -> None:
    report(CommandFailure(DeadlineExceeded("late", outcome="unknown"), FAILED), as_json=False)
    assert "outcome: unknown: it may have been applied" in capsys.readouterr().err


@pytest.mark.parametrize("exit_code", [FAILED, USAGE])
def test_programs_get_the_problem_as_json(capsys: pytest.CaptureFixture[str], exit_code: int) -> None:
    error = NotFound("there is none", field="name", hint="make one")
    report(CommandFailure(error, exit_code), as_json=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err) == error.problem()


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (InvalidArgument("x"), USAGE),
        (Unavailable("x"), USAGE),
        (NotFound("x"), USAGE),
        (DataLoss("x"), FAILED),
        (Internal("x"), FAILED),
    ],
)
def test_a_stage_that_does_not_start_is_misconfigured_or_damaged(error: SoundstageError, exit_code: int) -> None:
    assert not_started(error).exit_code == exit_code


def test_operations_in_a_hint_are_as_they_are_typed() -> None:
    hint = "create it with namespaces/put, or see jobs/list_all"
    assert typed(hint) == "create it with `soundstage namespaces put`, or see `soundstage jobs list-all`"


@pytest.mark.parametrize(
    "hint", ["read /v1/namespaces/put", "see https://a.example/tokens/list", "my-jobs/list", "see to data/records"]
)
def test_what_is_part_of_an_address_or_a_folder_stays_in_a_hint(hint: str) -> None:
    assert typed(hint) == hint
