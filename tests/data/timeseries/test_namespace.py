"""A namespace as it is served: what its engine has to be able to do."""

from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.data.timeseries.config import NamespaceConfig
from soundstage.data.timeseries.namespace import tables
from soundstage.engines.records.port import Capability


def test_a_namespace_begins_with_the_table_of_its_slices_alone() -> None:
    (found,) = tables("trips", NamespaceConfig(), frozenset({Capability.CONDITIONAL}))
    assert (found.name, found.conditional, found.dedicated) == ("timeseries/trips", True, False)


def test_an_engine_by_which_processes_cannot_agree_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="agree on the time slices"):
        tables("trips", NamespaceConfig(), frozenset())
