from __future__ import annotations

import pytest

from soundstage.core.errors import NotFound
from soundstage.servers.catalogue import KINDS, find
from soundstage.servers.kind import Kind

EACH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@EACH
def test_a_kind_is_found_by_its_name(kind: Kind) -> None:
    assert find(kind.name) is kind


@EACH
def test_a_kind_says_what_it_is(kind: Kind) -> None:
    assert kind.summary
    assert kind.version
    assert kind.ports
    assert set(kind.own_ports) <= set(kind.ports)


@EACH
def test_every_node_is_on_the_loopback(kind: Kind) -> None:
    assert all(kind.host(number).startswith("127.0.0.") for number in range(kind.nodes_max))


def test_kinds_are_sorted_by_name() -> None:
    names = [kind.name for kind in KINDS]
    assert names == sorted(set(names))


def test_a_name_far_from_all_is_refused_with_what_there_is() -> None:
    with pytest.raises(NotFound) as caught:
        find("qqqqqqqqq")
    assert "there are cassandra, " in str(caught.value.hint)
