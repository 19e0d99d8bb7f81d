"""What the demo shows: a line per step, and bars where somebody watches."""

from __future__ import annotations

import re

import pytest

from soundstage.demo.screen import Screen


@pytest.fixture
def screen() -> Screen:
    screen = Screen()
    screen.watched = False
    return screen


def test_a_line_has_its_subject_in_a_column(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    screen.say("data", "/tmp/x")
    assert capsys.readouterr().out == "data      /tmp/x\n"


def test_a_step_ends_with_a_line_of_how_much_and_how_fast(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    with screen.step("titles", 1_682, "records"):
        pass
    line = capsys.readouterr().out
    assert re.fullmatch(r"titles    1,682 records in \d+\.\d s, [\d,]+ a second\n", line)


def test_nothing_but_lines_is_shown_where_nobody_watches(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    with screen.step("titles", 2, "records") as advance:
        advance(1)
        advance(1)
    assert capsys.readouterr().err == ""


def test_a_bar_is_shown_on_standard_error_where_somebody_watches(
    screen: Screen, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    screen.watched = True
    with screen.step("titles", 2, "records") as advance:
        advance(2)
    shown = capsys.readouterr()
    assert "titles" in shown.err
    assert shown.out.count("\n") == 1


def test_a_step_that_fails_says_nothing_of_having_been_done(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LookupError), screen.step("titles", 2, "records"):
        raise LookupError
    assert capsys.readouterr().out == ""


def test_nobody_watches_what_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert not Screen().watched
