"""The files around the code agree with each other: lock and dependencies, suites and tests, README and ARCHITECTURE."""

from __future__ import annotations

import re
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from run_suites import read_suites
from suite_run import Suite
from tests.architecture.source import PACKAGE, ROOT, TESTS

import soundstage

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)")
KINDS = PACKAGE / "servers" / "kinds"
GENERATED = [ROOT / "requirements.lock", *sorted(KINDS.glob("*.txt")), *sorted(KINDS.glob("*.sha256"))]
OPTION = re.compile(r"(?<!\S)--?[a-z][a-z-]*")
PINNED = re.compile(r"^([a-z0-9-]+)==\S+", re.MULTILINE)


def wanted() -> set[str]:
    """Every dependency the project file names for running and developing."""
    lines = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    found = (REQUIREMENT.match(line) for line in lines)
    return {match[1].lower() for match in found if match}


def expected_suites() -> list[Suite]:
    return read_suites((ROOT / "script" / "suites").read_text())


def paths_of(suite: Suite) -> list[Path]:
    return [ROOT / word for word in suite.command if word.startswith("tests/")]


def sentences(text: str) -> list[str]:
    """The sentences of a page's prose: no titles, no fences, no comments; links as their words, bold as plain."""
    prose = re.sub(r"^```.*?^```$|<!--.*?-->|^#[^\n]*$", "", text, flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"\[([^\]]+)\]\([^)]+\)|\*\*", r"\1", prose)
    return [
        " ".join(sentence.split())
        for paragraph in re.split(r"\n\s*\n|^- ", prose, flags=re.MULTILINE)
        for sentence in re.split(r"(?<=[.:])\s+(?=[A-Z`])", paragraph.strip())
        if sentence.strip()
    ]


def places(text: str) -> dict[str, list[str]]:
    """What ARCHITECTURE's table says of each sentence of the README: the paths in its second column."""
    table = text.partition("## The README, sentence by sentence")[2]
    rows = (line.strip().strip("|").split(" | ") for line in table.splitlines() if line.startswith("| "))
    return {row[0].strip(): re.findall(r"`([^`]+)`", row[-1]) for row in rows if len(row) == 2}


def test_the_lock_pins_every_dependency() -> None:
    assert wanted() - set(PINNED.findall(LOCK)) == set()


def test_the_lock_pins_the_build_backend_and_pip() -> None:
    assert {"hatchling", "editables", "pip"} <= set(PINNED.findall(LOCK))


def test_every_pin_has_a_hash() -> None:
    starts = [match.start() for match in PINNED.finditer(LOCK)]
    assert all("--hash=sha256:" in LOCK[start:end] for start, end in pairwise([*starts, len(LOCK)]))


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_a_generated_list_names_no_path_and_no_host(path: Path) -> None:
    text = path.read_text()
    assert [line for line in text.splitlines() if "/" in line or "\\" in line.removesuffix(" \\")] == []
    assert set(OPTION.findall(text)) <= {"--hash"}


def test_the_extra_all_has_every_extra() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    named = re.search(r"\[(.+)\]", extras["all"][0])
    assert named is not None
    assert set(named[1].split(",")) == set(extras) - {"all"}


def test_the_package_knows_its_version() -> None:
    assert soundstage.__version__ == PROJECT["project"]["version"]


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_the_licence_is_there_in_full() -> None:
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()


def test_every_test_file_is_in_exactly_one_suite() -> None:
    paths = [path for suite in expected_suites() for path in paths_of(suite)]
    uncovered = {
        file.relative_to(ROOT).as_posix(): covering
        for file in sorted(TESTS.rglob("test_*.py"))
        if (covering := sum(file == path or path in file.parents for path in paths)) != 1
    }
    assert uncovered == {}


def test_every_path_of_a_suite_exists() -> None:
    assert [path for suite in expected_suites() for path in paths_of(suite) if not path.exists()] == []


@pytest.mark.parametrize("script", ["script/demo", "script/test", ".ci/run"])
def test_scripts_are_executable(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111 == 0o111


@pytest.mark.parametrize("script", ["demo", "test", "venv.sh", "packages.sh"])
def test_scripts_are_posix_shell(script: str) -> None:
    bashisms = re.compile(r"\[\[|\bfunction \w|\blocal \w|<<<|\$'|\barray\b|==|&>|source ")
    text = (ROOT / "script" / script).read_text()
    assert (
        bashisms.findall(re.sub(r"<<'?[A-Z]+'?.*?^[A-Z]+$|'[^']*'|#.*$", "", text, flags=re.DOTALL | re.MULTILINE))
        == []
    )
    subprocess.run(["sh", "-n", str(ROOT / "script" / script)], check=True, timeout=10)


def test_ci_runs_the_tests() -> None:
    assert "exec script/test" in (ROOT / ".ci" / "run").read_text()


def test_the_readme_opens_with_the_two_commands() -> None:
    first = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert first is not None
    assert [line.split()[0] for line in first[1].splitlines()] == ["script/demo", "script/test"]


def test_architecture_names_the_place_of_every_sentence_of_the_readme() -> None:
    table = places((ROOT / "ARCHITECTURE.md").read_text())
    missing = [sentence for sentence in sentences((ROOT / "README.md").read_text()) if not table.get(sentence)]
    assert missing == []


def test_architecture_names_no_sentence_that_the_readme_has_not() -> None:
    table = places((ROOT / "ARCHITECTURE.md").read_text())
    said = {"what the README says", "---", *sentences((ROOT / "README.md").read_text())}
    assert [sentence for sentence in table if sentence not in said] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Title\n\nOne. Two.\n", ["One.", "Two."]),
        ("One\nline.\n\n```sh\nls\n```\n\nTwo.", ["One line.", "Two."]),
        ("These:\n\n- **One.** Two.\n- Three,\n  four.\n", ["These:", "One.", "Two.", "Three, four."]),
        ("See [the page](docs/page.md). End.", ["See the page.", "End."]),
        ("Version 3.11 runs <!-- not this -->.", ["Version 3.11 runs ."]),
    ],
)
def test_sentences_are_found(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize("folder", [".", "engines", "runtime", "data", "testing"])
def test_the_house_shows_every_package(folder: str) -> None:
    house = (ROOT / "ARCHITECTURE.md").read_text().split("```")[1]
    packages = {path.parent.name for path in (PACKAGE / folder).glob("*/__init__.py")}
    assert [name for name in sorted(packages) if f" {name}/ " not in house] == []


def test_the_places_that_architecture_names_exist() -> None:
    named = {path for paths in places((ROOT / "ARCHITECTURE.md").read_text()).values() for path in paths}
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_fragment_of_the_changelog_has_a_known_type() -> None:
    types = {kind["directory"] for kind in PROJECT["tool"]["towncrier"]["type"]}
    fragments = [path for path in (ROOT / "changelog.d").iterdir() if path.name != ".gitignore"]
    assert [path.name for path in fragments if path.suffixes[-2:-1] != [] and path.suffixes[-2][1:] not in types] == []
