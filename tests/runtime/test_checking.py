from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.runtime.conftest import NOTES

from soundstage.catalogue import SYSTEMS
from soundstage.core.environment import VirtualEnvironment
from soundstage.runtime.checking import problems
from soundstage.runtime.stagefile import load_config

HOME = {"abstraction": "notes"}


def fields(tree: dict[str, Any], data: str = "memory:") -> list[str | None]:
    config = load_config(tree=tree, flags={"data": data}).config
    return [problem.field for problem in problems(config, (*SYSTEMS, NOTES), VirtualEnvironment())]


def test_a_good_configuration_has_no_problems() -> None:
    assert fields({"namespaces": {"home": HOME}, "systems": {"notes": {"volume": 3}}}) == []


def test_checking_opens_nothing(tmp_path: Path) -> None:
    assert fields({"namespaces": {"home": HOME}}, str(tmp_path / "data")) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tree", "field"),
    [
        ({"engines": {"a": {"url": "memroy:"}}}, "engines.a.url"),
        ({"control": {"engine": "other"}}, "control.engine"),
        ({"systems": {"notes": {"volum": 3}}}, "systems.notes.volum"),
        ({"http": {"host": "0.0.0.0"}}, "http.host"),
        ({"http": {"tls": {"key": "x"}}}, "http.tls.certificate"),
        ({"http": {"metrics_listen": "9100"}}, "http.metrics_listen"),
        ({"namespaces": {"home": {"abstraction": "noets"}}}, "namespaces.home.abstraction"),
        ({"namespaces": {"home": {**HOME, "config": {"greting": ""}}}}, "namespaces.home.config.greting"),
        ({"namespaces": {"home": {**HOME, "config": {"length_limit": 0}}}}, "namespaces.home.config.length_limit"),
        ({"namespaces": {"home": {**HOME, "engines": {"records": "x"}}}}, "namespaces.home.engines.records"),
        ({"namespaces": {"blobs": HOME}}, "namespaces.blobs.name"),
    ],
)
def test_each_problem_names_its_key(tree: dict[str, Any], field: str) -> None:
    assert fields(tree) == [field]


def test_all_problems_are_told_at_once() -> None:
    tree = {
        "systems": {"notes": {"volum": 3}},
        "http": {"host": "0.0.0.0"},
        "namespaces": {"a": {"abstraction": "x"}, "b": HOME, "c": {"abstraction": "y"}},
    }
    assert len(fields(tree)) == 4
