"""script/demo and script/test fill .venv by the first way that works, once, and say what to do when none does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.script.machine import APT, SUDO, UV, Machine

# Each runs a whole script, and who changes one of these runs their suite.
pytestmark = pytest.mark.slow

LOCKED = "install -q --disable-pip-version-check --no-deps --require-hashes -r requirements.lock"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def ways(machine: Machine) -> list[str]:
    """Which program made or filled .venv, without repetitions."""
    heads = [
        " ".join(call.split()[:2]) if call.startswith(("uv", "apt", "sudo")) else call.split()[0]
        for call in machine.calls()
    ]
    return list(dict.fromkeys(heads))


def test_the_demo_is_run_with_the_arguments_given(machine: Machine) -> None:
    assert machine.run("demo", "--once", "--port", "0").out == "ran soundstage demo --once --port 0\n"


def test_the_demo_ends_as_the_program_does(machine: Machine) -> None:
    assert machine.run("demo", EXIT="7").status == 7


def test_the_tests_are_run_with_the_arguments_given(machine: Machine) -> None:
    assert machine.run("test", "ruff", "core").out == "ran suites ruff core\n"


def test_packages_are_installed_with_their_hashes_and_the_project_without_others(machine: Machine) -> None:
    machine.run("demo")
    calls = machine.calls()
    assert calls[1] == f"pip {LOCKED}"
    assert "--no-deps --no-build-isolation -e" in calls[2]


def test_a_second_run_installs_nothing(machine: Machine) -> None:
    machine.run("demo")
    machine.calls()
    assert machine.run("demo").status == 0
    assert machine.calls() == []


def test_both_scripts_share_one_environment(machine: Machine) -> None:
    machine.run("demo")
    machine.calls()
    machine.run("test")
    assert machine.calls() == []


def test_another_lock_makes_the_environment_anew(machine: Machine) -> None:
    machine.run("demo")
    (machine.venv / "stale").touch()
    (machine.checkout / "requirements.lock").write_text("one==2\n")
    machine.run("demo")
    assert not (machine.venv / "stale").exists()


def test_another_project_file_installs_the_project_alone(machine: Machine) -> None:
    machine.run("demo")
    machine.calls()
    (machine.checkout / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    machine.run("demo")
    (call,) = machine.calls()
    assert "-e" in call.split()
    assert "requirements.lock" not in call


def test_an_environment_made_by_hand_is_filled_not_replaced(machine: Machine) -> None:
    machine.run("demo")
    (machine.venv / "soundstage.stamp").unlink()
    (machine.venv / "by-hand").touch()
    machine.run("demo")
    assert (machine.venv / "by-hand").exists()


def test_a_moved_checkout_is_filled_again(machine: Machine) -> None:
    machine.run("demo")
    machine.calls()
    machine.checkout = machine.checkout.rename(machine.folder / "moved")
    assert machine.run("demo").status == 0
    assert any("requirements.lock" in call for call in machine.calls())


def test_a_broken_environment_is_made_anew(machine: Machine) -> None:
    machine.run("demo")
    (machine.venv / "bin" / "python").write_text("#!/no/such/interpreter\n")
    assert machine.run("demo").out == "ran soundstage demo\n"


def test_what_an_interrupted_run_left_is_used_or_replaced(machine: Machine) -> None:
    (machine.venv / "bin").mkdir(parents=True)
    assert machine.run("demo").out == "ran soundstage demo\n"


def test_two_at_once_fill_it_once(machine: Machine) -> None:
    both = [machine.start("demo"), machine.start("test")]
    for process in both:
        process.communicate(timeout=60)
    assert [process.returncode for process in both] == [0, 0]
    assert sum("requirements.lock" in call for call in machine.calls()) == 1


def test_uv_is_the_first_way(machine: Machine) -> None:
    machine.put("uv", UV)
    machine.run("demo")
    assert ways(machine) == ["uv venv", "uv pip"]


def test_uv_is_asked_to_verify_hashes(machine: Machine) -> None:
    machine.put("uv", UV)
    machine.run("demo")
    assert any("--no-deps --require-hashes" in call for call in machine.calls())


def test_uv_is_tried_again_with_the_systems_certificates(machine: Machine) -> None:
    machine.put("uv", UV)
    machine.lacks("no-certificates")
    machine.run("demo")
    assert ways(machine) == ["uv venv", "uv pip"]


def test_a_uv_that_does_not_work_is_passed_over(machine: Machine) -> None:
    machine.put("uv", UV)
    machine.lacks("no-uv")
    machine.run("demo")
    assert ways(machine) == ["venv", "pip"]


def test_without_the_venv_module_the_systems_pip_fills_an_empty_one(machine: Machine) -> None:
    machine.lacks("no-venv")
    assert machine.run("demo").status == 0
    assert [call.split()[0] for call in machine.calls()] == ["venv", "pip", "pip"]


def test_root_installs_the_venv_module(machine: Machine) -> None:
    machine.lacks("no-venv", "no-pip")
    machine.put("apt-get", APT)
    assert machine.run("demo", MACHINE_UID="0").status == 0
    assert "apt-get install -q -y --no-install-recommends python3-venv" in machine.calls()


def test_a_sudo_that_asks_nothing_will_do(machine: Machine) -> None:
    machine.lacks("no-venv", "no-pip")
    machine.put("apt-get", APT)
    machine.put("sudo", SUDO)
    assert machine.run("demo").status == 0
    assert any(call.startswith("sudo env DEBIAN_FRONTEND=noninteractive apt-get install") for call in machine.calls())


def test_with_no_way_left_it_says_what_to_install_and_exits_3(machine: Machine) -> None:
    machine.lacks("no-venv", "no-pip")
    result = machine.run("demo")
    assert result.status == 3
    assert result.err.splitlines()[-1].strip() == "apt-get install -y python3-venv"


def test_an_index_out_of_reach_shows_what_was_tried_and_exits_1(machine: Machine) -> None:
    machine.lacks("no-index")
    result = machine.run("demo")
    assert result.status == 1
    assert "the index cannot be reached" in result.err


def test_a_failed_run_is_not_taken_for_a_good_one(machine: Machine) -> None:
    machine.lacks("no-index")
    machine.run("demo")
    (machine.folder / "no-index").unlink()
    assert machine.run("demo").out == "ran soundstage demo\n"


def test_without_python_it_says_what_to_install_and_exits_3(machine: Machine) -> None:
    machine.lacks("old-python")
    result = machine.run("demo")
    assert result.status == 3
    assert result.err.splitlines()[-1].strip() == "apt-get install -y python3 python3-venv"


def test_the_python_asked_for_comes_first(machine: Machine) -> None:
    chosen = machine.folder / "bin" / "chosen"
    shutil.copy(machine.folder / "bin" / "python3", chosen)
    machine.run("demo", PYTHON=str(chosen))
    assert machine.calls()[0].split()[1] == "by=chosen"


def test_an_unfit_python_asked_for_is_named_and_passed_over(machine: Machine) -> None:
    result = machine.run("demo", PYTHON="/no/such/python")
    assert result.status == 0
    assert "$PYTHON (/no/such/python) is not Python 3.11 or newer" in result.err


def test_no_temporary_file_is_left(machine: Machine) -> None:
    machine.run("demo")
    assert list(machine.folder.glob("soundstage.*")) == []


def test_a_path_with_spaces_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    assert Machine(folder).run("demo", "a b").out == "ran soundstage demo a b\n"
