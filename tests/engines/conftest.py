"""Which tests of engines belong to the quick ones."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Histories of a suite, drawn at random, are quick on the memory engines alone, which all others are held to."""
    for item in items:
        place = item.nodeid.partition("::")[0]
        if place.startswith("tests/engines/") and not place.endswith("/test_memory.py") and draws_for_a_suite(item):
            item.add_marker(pytest.mark.slow)


def draws_for_a_suite(item: pytest.Item) -> bool:
    """Whether the test is one of a public suite that hypothesis draws examples for."""
    if not isinstance(item, pytest.Function):
        return False
    suite = item.function.__module__.startswith("soundstage.testing.")
    return suite and getattr(item.function, "is_hypothesis_test", False)
