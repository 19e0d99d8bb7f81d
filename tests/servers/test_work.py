from __future__ import annotations

from pathlib import Path

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Unavailable
from soundstage.servers.work import Work


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "work", SystemEnvironment(), lambda _: None)


def test_what_a_command_prints_is_returned(work: Work) -> None:
    assert work.run("printing", ("echo", "printed")) == "printed\n"


def test_a_command_gets_its_variables(work: Work) -> None:
    assert work.run("printing", ("sh", "-c", "echo $COLOUR"), {"COLOUR": "red"}) == "red\n"


def test_one_that_fails_is_told_in_its_own_words(work: Work) -> None:
    with pytest.raises(Unavailable, match="bringing it failed: error: no such package"):
        work.run("bringing it", ("sh", "-c", "echo fetching; echo error: no such package; exit 1"))


def test_what_is_done_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    Work(tmp_path, SystemEnvironment(), told.append).run("sleeping", ("sleep", "0.2"))
    assert set(told) == {"sleeping"}


@pytest.mark.slow
def test_who_is_told_may_cancel(tmp_path: Path) -> None:
    def cancel(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Work(tmp_path, SystemEnvironment(), cancel).run("sleeping", ("sleep", "60"))
