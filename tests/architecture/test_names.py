"""Files and classes are named for what they hold; comments say why, and nothing of the past."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.architecture.source import PACKAGE, ROOT, TESTS, Module, modules

DRAWERS = {
    "util",
    "utils",
    "helper",
    "helpers",
    "common",
    "misc",
    "manager",
    "managers",
    "base",
    "shared",
    "lib",
    "stuff",
}
CLASS_NAME = re.compile(
    r"(Manager|Factory|Helper|Helpers|Util|Utils|Base|Abstract|Impl)$|^(Base|Abstract|I)(?=[A-Z][a-z])"
)
STALE = re.compile(
    r"\b(this (PR|commit|change)|no longer|previously|formerly|used to (be|have|do)|for now|was changed|in the past|"
    r"TODO|FIXME|XXX|HACK|placeholder|simplified)\b",
    re.IGNORECASE,
)


def stale_comments(module: Module) -> list[str]:
    if not STALE.search(module.text):
        # Most say nothing of the kind anywhere, and to find comments takes long.
        return []
    return [f"{module.name}:{line} {text}" for line, text in module.comments() if STALE.search(text)]


def test_no_file_is_a_junk_drawer() -> None:
    drawers = [
        path.relative_to(ROOT).as_posix()
        for folder in (PACKAGE, TESTS)
        for path in folder.rglob("*")
        if path.stem in DRAWERS
    ]
    assert drawers == []


def test_no_class_is_named_for_its_pattern() -> None:
    named = [
        f"{module.name}:{node.lineno} {node.name}"
        for module in modules()
        for node in module.classes()
        if CLASS_NAME.search(node.name)
    ]
    assert named == []


def test_no_comment_speaks_of_the_past_or_of_work_left() -> None:
    assert [
        comment for folder in (PACKAGE, TESTS) for module in modules(folder) for comment in stale_comments(module)
    ] == []


@pytest.mark.parametrize("comment", ["# fixed in this PR", "# TODO: later", "# no longer used"])
def test_a_stale_comment_is_found(tmp_path: Path, comment: str) -> None:
    path = tmp_path / "sample.py"
    path.write_text(f"x = 1  {comment}\n")
    assert [text for _, text in Module(path).comments() if STALE.search(text)] == [comment]


@pytest.mark.parametrize("name", ["StageManager", "BaseEngine", "RecordsFactory", "IRecords", "AbstractPort"])
def test_a_pattern_name_is_found(name: str) -> None:
    assert CLASS_NAME.search(name)


@pytest.mark.parametrize("name", ["Database", "Instant", "Invoker", "IdempotencyToken", "Stage"])
def test_a_noun_is_let_be(name: str) -> None:
    assert not CLASS_NAME.search(name)
