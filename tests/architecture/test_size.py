"""Modules and functions stay short enough to be read in one go, and tests are no fewer lines than code."""

from __future__ import annotations

import statistics

from tests.architecture.source import PACKAGE, TESTS, length, modules

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


def test_there_are_as_many_lines_of_tests_as_of_code() -> None:
    code = sum(code_lines(module.text) for module in modules(PACKAGE))
    tests = sum(code_lines(module.text) for module in modules(TESTS))
    assert tests >= code
