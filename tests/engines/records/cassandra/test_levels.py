"""Which replicas answer: by what a table promises, in which data centres, and how the engine is set."""

from __future__ import annotations

from typing import Any

import pytest
from tests.engines.records.cassandra.scripted import Session, requests_of, table_of

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.engines.records.cassandra.driver import EACH_QUORUM, LEVELS, LOCAL_SERIAL, SERIAL
from soundstage.engines.records.cassandra.levels import Levels, levels_of
from soundstage.engines.records.cassandra.options import Consistency
from soundstage.engines.records.port import TableSpec

ONE, LOCAL_ONE, QUORUM, LOCAL_QUORUM, ALL = (
    LEVELS[name] for name in ("one", "local_one", "quorum", "local_quorum", "all")
)
HERE = Levels(LOCAL_QUORUM, LOCAL_QUORUM, LOCAL_SERIAL, LOCAL_QUORUM, EACH_QUORUM)
EVERYWHERE = Levels(QUORUM, QUORUM, SERIAL, QUORUM, QUORUM)


def spec(**settings: Any) -> TableSpec:
    return TableSpec(name="films", **settings)


@pytest.mark.parametrize("consistency", ["one", "local_one", "quorum", "local_quorum", "all"])
@pytest.mark.parametrize(("scope", "levels"), [("local", HERE), ("global", EVERYWHERE)])
def test_a_scope_counts_whatever_the_engine_says(consistency: Consistency, scope: Any, levels: Levels) -> None:
    assert levels_of(consistency, spec(scope=scope)) == levels


@pytest.mark.parametrize(
    ("consistency", "levels"),
    [
        ("quorum", EVERYWHERE),
        ("local_quorum", Levels(LOCAL_QUORUM, LOCAL_QUORUM, LOCAL_SERIAL, LOCAL_QUORUM, LOCAL_QUORUM)),
        ("one", Levels(ONE, ONE, SERIAL, QUORUM, ONE)),
        ("local_one", Levels(LOCAL_ONE, LOCAL_ONE, LOCAL_SERIAL, LOCAL_QUORUM, LOCAL_ONE)),
        ("all", Levels(ALL, ALL, SERIAL, QUORUM, ALL)),
    ],
)
def test_without_a_scope_the_engine_counts(consistency: Consistency, levels: Levels) -> None:
    assert levels_of(consistency, spec()) == levels


@pytest.mark.parametrize(
    ("settings", "level"),
    [({}, ONE), ({"scope": "global"}, ONE), ({"scope": "local"}, LOCAL_ONE)],
)
def test_one_replica_answers_for_rows_that_need_not_be_seen_and_for_nothing_else(settings: Any, level: int) -> None:
    loose = levels_of("quorum", spec(eventual=True, **settings))
    assert loose == levels_of("quorum", spec(**settings))._replace(rows=level)


def test_what_takes_conditions_is_never_answered_for_by_one(environment: VirtualEnvironment) -> None:
    assert levels_of("quorum", spec(eventual=True, conditional=True)) == EVERYWHERE


async def test_a_lightweight_write_is_decided_at_the_levels_of_its_table(environment: VirtualEnvironment) -> None:
    session = Session([[(True,)]])
    requests = requests_of(session, environment)
    statement = table_of(spec()).statements.put
    await requests.decide([(statement, ())], None, requests.levels(spec(conditional=True, scope="local")))
    sent = session.sent[0].request
    assert (sent.serial_consistency_level, sent.consistency_level) == (LOCAL_SERIAL, LOCAL_QUORUM)


async def test_what_is_decided_in_another_data_centre_is_refused_with_the_reason(
    environment: VirtualEnvironment,
) -> None:
    requests = requests_of(Session(), environment, "local_dc=rome")
    there = spec(conditional=True, scope="local", region="oslo")
    with pytest.raises(InvalidArgument, match="'oslo' alone") as refused:
        requests.check_decides(there)
    assert "local_dc" in (refused.value.hint or "")


@pytest.mark.parametrize(
    "settings", [{"conditional": True, "scope": "local", "region": "rome"}, {"conditional": True, "scope": "global"}]
)
async def test_what_is_decided_here_or_everywhere_is_taken(environment: VirtualEnvironment, settings: Any) -> None:
    assert requests_of(Session(), environment, "local_dc=rome").decides(spec(**settings))
