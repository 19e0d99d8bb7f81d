"""What collection made lives to the end of the run, so the garbage collector is spared looking at it again and again.

Twenty thousand tests are some millions of objects: a full collection takes half a second with them, and some tests,
and pytest itself, ask for one.
"""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
