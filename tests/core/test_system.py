from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.core.system import System, system_of

MARS = System("mars", "elsewhere.mars", "What a package adds")
NO_SYSTEM = 7


def __getattr__(name: str) -> Any:
    if name == "RAISES":
        raise RuntimeError("over\ntwo lines")
    raise AttributeError(name)


def point(name: str) -> EntryPoint:
    return EntryPoint("x", f"tests.core.test_system:{name}", "soundstage.systems")


def test_an_entry_point_brings_a_system() -> None:
    assert system_of(point("MARS")) is MARS


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("NO_SYSTEM", "it is no System but int"),
        ("RAISES", "RuntimeError: over two lines"),
        ("MISSING", "AttributeError: MISSING"),
    ],
)
def test_what_is_none_is_refused_naming_the_entry_point(name: str, why: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        system_of(point(name))
    assert (
        caught.value.detail == f"the system 'tests.core.test_system:{name}' of an installed package is missing: {why}"
    )


def test_a_package_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="ModuleNotFoundError"):
        system_of(EntryPoint("x", "package_that_nobody_has:X", "soundstage.systems"))
