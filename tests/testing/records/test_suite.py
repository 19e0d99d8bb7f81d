"""The suite as a whole: nothing of it is lost, and capabilities choose what an engine is held to."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

import soundstage.testing.records.suite as suite
from soundstage.engines.records.port import Capability
from soundstage.testing.records import RecordsSuite, requires
from soundstage.testing.records.requirements import select

PARTS = [part for part in RecordsSuite.__mro__ if part.__module__.startswith(suite.__name__)]


def held_to(holder: type) -> list[str]:
    return [name for name in dir(holder) if name.startswith("test_") and callable(getattr(holder, name))]


def test_no_part_hides_a_test_of_another() -> None:
    names = Counter(name for part in PARTS for name in vars(part) if name.startswith("test_"))
    assert [name for name, count in names.items() if count > 1] == []


def test_every_part_is_in_the_suite() -> None:
    files = {path.stem for path in Path(inspect.getfile(suite)).parent.glob("*.py")} - {"__init__"}
    assert {part.__module__.rpartition(".")[2] for part in PARTS} - {"suite"} == files


def test_every_test_that_works_at_a_conditional_table_says_that_it_needs_one() -> None:
    missing = [
        f"{part.__name__}.{name}"
        for part in PARTS
        for name, test in vars(part).items()
        if name.startswith("test_")
        and "guarded" in inspect.signature(test).parameters
        and Capability.CONDITIONAL not in getattr(test, "needs_capabilities", ())
    ]
    assert missing == []


def test_every_test_asserts_or_expects_a_refusal() -> None:
    idle = [
        f"{path.name}:{node.lineno}"
        for path in Path(inspect.getfile(suite)).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_")
        if not any(
            isinstance(inner, ast.Assert) or (isinstance(inner, ast.Attribute) and inner.attr == "raises")
            for inner in ast.walk(node)
        )
    ]
    # These are compared by what plays them.
    assert {name.partition(":")[0] for name in idle} == {"histories.py", "marks.py", "transfers.py"}


def test_an_engine_without_extras_has_the_held_to_the_port_alone() -> None:
    class Plain(RecordsSuite):
        capabilities = frozenset()

    assert "test_the_later_put_wins" in held_to(Plain)
    assert "test_a_write_passes_where_its_item_is_absent" not in held_to(Plain)
    assert "test_rows_and_partitions_are_counted" not in held_to(Plain)


def test_a_capability_brings_its_tests() -> None:
    class Counting(RecordsSuite):
        capabilities = frozenset({Capability.STATISTICS})

    assert "test_rows_and_partitions_are_counted" in held_to(Counting)
    assert "test_a_write_passes_where_its_item_is_absent" not in held_to(Counting)


def test_a_suite_derived_from_another_keeps_its_choice() -> None:
    class Counting(RecordsSuite):
        capabilities = frozenset({Capability.STATISTICS})

    class Again(Counting):
        conditional = True

    assert held_to(Again) == held_to(Counting)


def test_what_works_at_a_conditional_table_always_can_be_left_to_another() -> None:
    class Rest(RecordsSuite):
        capabilities = frozenset({Capability.CONDITIONAL})
        guarded_too = False

    class Whole(RecordsSuite):
        capabilities = frozenset({Capability.CONDITIONAL})

    left_out = set(held_to(Whole)) - set(held_to(Rest))
    assert "test_a_write_passes_where_its_item_is_absent" in left_out
    assert all("guarded" in inspect.signature(getattr(Whole, name)).parameters for name in left_out)


def test_one_choice_leaves_the_suite_itself_whole() -> None:
    before = held_to(RecordsSuite)

    class Plain(RecordsSuite):
        capabilities = frozenset()

    assert len(held_to(Plain)) < len(before)
    assert held_to(RecordsSuite) == before


def test_a_test_that_needs_two_capabilities_is_absent_with_one() -> None:
    class Some:
        @requires(Capability.STATISTICS, Capability.CHECKPOINT)
        def test_both(self) -> None: ...

    select(Some, frozenset({Capability.STATISTICS}))
    assert held_to(Some) == []


@pytest.mark.parametrize("capability", [Capability.CONDITIONAL, Capability.STATISTICS, Capability.CHECKPOINT])
def test_what_can_be_announced_is_tested(capability: Capability) -> None:
    needs = [getattr(getattr(RecordsSuite, name), "needs_capabilities", frozenset()) for name in held_to(RecordsSuite)]
    assert sum(capability in each for each in needs) > 5


@pytest.mark.parametrize("library", ["hypothesis", "pytest_asyncio"])
def test_a_missing_library_is_named_with_the_way_to_get_it(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "soundstage.testing.records")
    monkeypatch.setitem(sys.modules, library, None)
    told = f'{library} is not installed: pip install "soundstage[testing]"'
    with pytest.raises(ModuleNotFoundError, match=re.escape(told)):
        importlib.import_module("soundstage.testing.records")
