"""`soundstage agent`: a role on a host of its own, for a stage that runs elsewhere."""

from __future__ import annotations

import json
import random

import pytest
from tests.e2e.chores import installed
from tests.e2e.conftest import Start
from tests.e2e.processes import Place, until
from tests.e2e.test_workers import noted

from soundstage.servers.ports import free_port

pytestmark = pytest.mark.slow


@pytest.fixture
def chores(place: Place) -> dict[str, str]:
    return installed(place.folder)


def test_an_agent_calls_the_stage_and_ends_when_it_is_told_to(
    start: Start, place: Place, chores: dict[str, str]
) -> None:
    stage = start("up", "--port", "0", "--roles", "http", variables=chores)
    url = stage.ready()
    agent = start("agent", "chores-ask", "--url", url, variables=chores)
    assert agent.line("agent ") == f"agent chores-ask for {url}"
    assert until(lambda: noted(place, "asked")) == [[agent.pid, stage.pid]]
    assert agent.stop().code == 0


def test_an_agent_tells_programs_that_it_began(start: Start, chores: dict[str, str]) -> None:
    agent = start("agent", "chores-ask", "--url", "http://127.0.0.1:1", "--output", "jsonl", variables=chores)
    assert json.loads(agent.line("{")) == {
        "event": "ready",
        "role": "chores-ask",
        "url": "http://127.0.0.1:1",
        "pid": agent.pid,
    }


def test_an_agent_waits_for_a_stage_that_is_not_there_yet(start: Start, place: Place, chores: dict[str, str]) -> None:
    # Not one that the system gives to whoever asks for any, in the meantime.
    port = str(free_port(["127.0.0.1"], random.Random(), set()))
    agent = start("agent", "chores-ask", "--url", f"http://127.0.0.1:{port}", variables=chores)
    until(lambda: "a role failed" in agent.errors)
    stage = start("up", "--port", port, "--roles", "http", variables=chores)
    stage.ready()
    assert until(lambda: noted(place, "asked")) == [[agent.pid, stage.pid]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("chores-ask",), "give --url"),
        (("chores-guard", "--url", "http://127.0.0.1:1"), "soundstage up --workers chores-guard=1"),
        (("chores-aks", "--url", "http://127.0.0.1:1"), "did you mean 'chores-ask'?"),
    ],
)
def test_a_role_that_no_agent_can_run_is_refused(
    start: Start, chores: dict[str, str], arguments: tuple[str, ...], said: str
) -> None:
    ended = start("agent", *arguments, variables=chores).ended()
    assert (ended.code, said in ended.err) == (2, True)


def test_without_any_role_for_agents_that_is_said(start: Start) -> None:
    ended = start("agent", "jobs", "--url", "http://127.0.0.1:1").ended()
    assert (ended.code, "no system that is installed" in ended.err) == (2, True)
