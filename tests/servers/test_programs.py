from __future__ import annotations

from pathlib import Path

import pytest

from soundstage.core.errors import Unavailable
from soundstage.servers.programs import Program, Toolbox
from soundstage.servers.shelf import Shelf


@pytest.fixture
def toolbox(tmp_path: Path) -> Toolbox:
    return Toolbox(Shelf(tmp_path / "shelf"), lambda _: None)


def unpacked(toolbox: Toolbox, package: str, program: str) -> Path:
    """The shelf has a package with one program."""
    path = toolbox.shelf.place(f"debian-{package}") / "usr" / "bin" / program
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_a_program_of_the_system_is_used_as_it_is(toolbox: Toolbox) -> None:
    tool = toolbox.program(Program("sh", ("dash",), "no/such/place"))
    assert tool.path.name == "sh"
    assert tool.variables == {}


def test_a_program_that_is_not_on_the_path_is_found_in_its_place(toolbox: Toolbox) -> None:
    assert toolbox.program(Program("no-such-name", ("dash",), "bin/s[h]")).path == Path("/bin/sh")


def test_one_that_the_system_has_not_is_unpacked(toolbox: Toolbox) -> None:
    path = unpacked(toolbox, "thing", "no-such-program")
    tool = toolbox.program(Program("no-such-program", ("thing",), "usr/bin/no-such-program"))
    assert tool.path == path
    assert "LD_LIBRARY_PATH" in tool.variables


def test_packages_without_the_program_are_refused(toolbox: Toolbox) -> None:
    unpacked(toolbox, "thing", "another")
    with pytest.raises(Unavailable, match="hold no usr/bin/no-such-program"):
        toolbox.program(Program("no-such-program", ("thing",), "usr/bin/no-such-program"))
