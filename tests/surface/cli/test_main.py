"""How the process of a command ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from soundstage.surface import cli


def test_an_interrupt_while_the_command_is_loaded_ends_it_in_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def loading(_: Sequence[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", loading)
    monkeypatch.setattr(sys, "argv", ["soundstage", "up"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr()) == (130, ("", ""))
