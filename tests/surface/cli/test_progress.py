from __future__ import annotations

import io
import sys

import pytest

from soundstage.surface.cli.progress import bar


class Screen(io.StringIO):
    """Standard error, on a terminal or not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def drawn(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, unit: str = "bytes") -> str:
    """What a bar for half of the work shows on a screen."""
    screen = Screen(terminal=terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    with bar("films", unit) as report:
        report(500, 1_000, "unpacking")
        shown = screen.getvalue()
    return shown + screen.getvalue()


def test_a_terminal_is_shown_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = drawn(monkeypatch, terminal=True)
    assert "films" in shown
    assert "0.5/1.0 kB" in shown
    assert "unpacking" in shown


def test_what_is_no_bytes_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "500/1000" in drawn(monkeypatch, terminal=True, unit="ratings")


def test_where_nobody_watches_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(monkeypatch, terminal=False) == ""


def test_results_are_not_drawn_over(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    drawn(monkeypatch, terminal=True)
    assert capsys.readouterr().out == ""


def test_the_bar_is_gone_when_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(terminal=True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    with pytest.raises(ZeroDivisionError), bar("films"):
        _ = 1 / 0
    assert screen.getvalue().endswith("\x1b[2K")
