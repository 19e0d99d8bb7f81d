"""script/test lists what the tests need and the machine lacks, before it installs it or says how to."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.script.machine import APT, DPKG_DEB, PRIVATE_APT, Machine

# Each runs a whole script, and who changes one of these runs their suite.
pytestmark = pytest.mark.slow

COMPILER = "gcc libc6-dev libc6"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_is_said_when_nothing_is_missing(machine: Machine) -> None:
    assert "missing" not in machine.run("test").err


def test_everything_missing_is_listed_before_anything_is_installed(machine: Machine) -> None:
    machine.lacks("no-venv", "no-pip", "no-compiler", "no-curl")
    machine.put("apt-get", APT)
    lines = machine.run("test", MACHINE_UID="0").err.splitlines()
    assert lines[1:4] == ["    venv: python3-venv", f"    compiler: {COMPILER}", "    curl: curl"]
    assert all("installing" not in line for line in lines[:4])


def test_root_installs_the_compiler(machine: Machine) -> None:
    machine.lacks("no-compiler")
    machine.put("apt-get", APT)
    assert machine.run("test", MACHINE_UID="0").out == "ran suites\n"
    assert f"apt-get install -q -y --no-install-recommends {COMPILER}" in machine.calls()


def test_root_installs_all_that_is_missing_at_once(machine: Machine) -> None:
    machine.lacks("no-compiler", "no-curl")
    machine.put("apt-get", APT)
    assert machine.run("test", MACHINE_UID="0").status == 0
    assert f"apt-get install -q -y --no-install-recommends {COMPILER} curl" in machine.calls()


def test_what_cannot_be_installed_is_named_and_exits_3(machine: Machine) -> None:
    machine.lacks("no-compiler")
    result = machine.run("test")
    assert result.status == 3
    assert result.err.splitlines()[-1].split() == ["apt-get", "install", "-y", *COMPILER.split()]


def test_an_apt_that_fails_is_shown(machine: Machine) -> None:
    machine.lacks("no-compiler")
    machine.put("apt-get", "#!/bin/sh\necho no such archive >&2\nexit 100\n")
    result = machine.run("test", MACHINE_UID="0")
    assert result.status == 3
    assert "no such archive" in result.err


def test_the_demo_needs_no_compiler(machine: Machine) -> None:
    machine.lacks("no-compiler")
    assert machine.run("demo").status == 0


def test_a_compiler_of_ones_own_is_used(machine: Machine) -> None:
    machine.lacks("no-compiler")
    machine.put("my-cc", "#!/bin/sh\nexit 0\n")
    assert machine.run("test", CC="my-cc").status == 0


@pytest.fixture
def ordinary(machine: Machine) -> Machine:
    """A machine without a compiler, whose user is not root."""
    (machine.folder / "bin" / "cc").unlink()
    machine.put("apt-get", PRIVATE_APT)
    machine.put("dpkg-deb", DPKG_DEB)
    return machine


def test_an_ordinary_user_unpacks_the_compiler_into_the_checkout(ordinary: Machine) -> None:
    assert ordinary.run("test").out == "ran suites\n"
    assert (ordinary.checkout / ".cache" / "debian" / "root" / "usr" / "bin" / "gcc").exists()


def test_what_the_packages_depend_on_is_unpacked_too(ordinary: Machine) -> None:
    ordinary.run("test")
    assert (ordinary.checkout / ".cache" / "debian" / "root" / "usr" / "bin" / "libgcc").exists()


def test_an_unpacked_compiler_is_told_where_it_is(ordinary: Machine) -> None:
    ordinary.run("test")
    assert f"--sysroot={ordinary.checkout}/.cache/debian/root" in (ordinary.folder / "compiled").read_text().split()


def test_an_unpacked_program_is_used_again(ordinary: Machine) -> None:
    ordinary.run("test")
    ordinary.calls()
    assert ordinary.run("test").status == 0
    assert ordinary.calls() == []


def test_an_ordinary_user_asks_apt_for_nothing_that_needs_root(ordinary: Machine) -> None:
    ordinary.run("test")
    assert all("Dir::State::Lists" in call for call in ordinary.calls() if call.startswith("apt-get"))


def test_without_apt_an_ordinary_user_is_told_what_to_install(machine: Machine) -> None:
    (machine.folder / "bin" / "cc").unlink()
    assert machine.run("test").status == 3
