"""The walk misses no call of any port."""

from __future__ import annotations

import pytest
from tests.engines.walk.calls import PORTS, declared


@pytest.mark.parametrize("port", PORTS)
def test_every_call_that_a_port_declares_is_walked(port: str) -> None:
    modules, calls = PORTS[port]
    assert set(calls) == declared(modules)
