"""Modules and functions stay short enough to be read in one go, and tests are no fewer lines than code."""

from __future__ import annotations

import ast
import re
import statistics

from tests.architecture.source import PACKAGE, TESTS, Module, length, modules

MODULE_LINES_MAX = 800
MODULE_LINES_WITHOUT_REASON = 500
MODULE_LINES_MEDIAN_MAX = 200
FUNCTION_LINES_MAX = 70
FUNCTION_LINES_P90_MAX = 35

REASONS: dict[str, str] = {}
"""Modules of more than 500 lines and why they are one."""


def code_lines(text: str) -> int:
    return sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def test_no_module_is_over_800_lines() -> None:
    assert [(module.name, module.lines) for module in modules() if module.lines > MODULE_LINES_MAX] == []


def test_a_module_over_500_lines_gives_its_reason() -> None:
    long = {module.name for module in modules() if module.lines > MODULE_LINES_WITHOUT_REASON}
    assert long == set(REASONS)


def test_the_typical_module_has_at_most_200_lines() -> None:
    assert statistics.median(module.lines for module in modules()) <= MODULE_LINES_MEDIAN_MAX


def test_no_function_is_over_70_lines() -> None:
    long = [
        f"{module.name}:{function.lineno} {function.name} has {length(function)} lines"
        for module in modules()
        for function in module.functions()
        if length(function) > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_nine_functions_in_ten_have_at_most_35_lines() -> None:
    lengths = sorted(length(function) for module in modules() for function in module.functions())
    assert lengths[len(lengths) * 9 // 10] <= FUNCTION_LINES_P90_MAX


def holds_tests(module: Module) -> bool:
    """Whether tests are defined in it, as in the suites that whoever writes an engine inherits.

    Suites are shipped, so they are in the package, but they are tests: pytest collects their methods in the subclasses
    under `tests/engines`. What else is in `soundstage.testing` (models, faults, histories, workloads) is code, with
    tests of its own.
    """
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        for item in module.classes()
        for node in item.body
    )


def test_only_suites_hold_tests_in_the_package() -> None:
    suites = [module.name for module in modules(PACKAGE) if holds_tests(module)]
    assert suites
    assert [name for name in suites if not re.match(r"soundstage\.testing\.\w+\.suite(\.|$)", name)] == []


def test_there_are_as_many_lines_of_tests_as_of_code() -> None:
    code = sum(code_lines(module.text) for module in modules(PACKAGE) if not holds_tests(module))
    suites = sum(code_lines(module.text) for module in modules(PACKAGE) if holds_tests(module))
    tests = sum(code_lines(module.text) for module in modules(TESTS))
    assert tests + suites >= code
