"""What a door is given: authentication, and the way to the operations."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
from tests.runtime.conftest import NOTES, make
from tests.runtime.doors import open_door
from tests.runtime.notes.api import NotesCalls, ReadNote, WriteNote

from soundstage.catalogue import SYSTEMS
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Forbidden, Unauthenticated
from soundstage.core.namespace import NamespaceSpec
from soundstage.runtime.door import DoorContext
from soundstage.runtime.stage import Stage
from soundstage.runtime.tokens.api import Tokens

READ = ReadNote(namespace="home", name="milk")
WRITE = WriteNote(namespace="home", name="milk", text="two")


class Guarded:
    """A stage with authentication, its door, and tokens by name."""

    def __init__(self, stage: Stage, environment: VirtualEnvironment) -> None:
        self.stage = stage
        self.environment = environment
        self.context: DoorContext = open_door(stage).context

    async def token(self, name: str, *roles: str) -> str:
        made = await self.stage.client(Tokens).create(name=name, roles=list(roles))  # type: ignore[arg-type]
        return made.bearer


@pytest.fixture
async def guarded(environment: VirtualEnvironment) -> AsyncIterator[Guarded]:
    config = {"auth": {"mode": "tokens"}, "doors": {"lines": {"listen": "127.0.0.1:0"}}}
    stage = Stage.open(config=config, data="memory:", environment=environment, systems=(*SYSTEMS, NOTES))
    async with stage:
        await make(stage)
        # On a virtual clock the watch over idle connections would never rest.
        await stage.open_doors()
        yield Guarded(stage, environment)


@pytest.fixture
async def free(environment: VirtualEnvironment) -> AsyncIterator[DoorContext]:
    """A door of a stage without authentication."""
    config = {"doors": {"lines": {"listen": "127.0.0.1:0"}}}
    async with Stage.open(config=config, data="memory:", environment=environment, systems=(*SYSTEMS, NOTES)) as stage:
        await make(stage)
        await stage.open_doors()
        yield open_door(stage).context


async def test_without_authentication_everyone_is_the_owner(free: DoorContext) -> None:
    session = free.authenticate(None)
    await session.invoke(NotesCalls.write, WRITE)
    assert (await session.invoke(NotesCalls.read, READ)).text == "two"
    assert session.principal.name == "local"


async def test_with_it_nobody_comes_without_a_token(guarded: Guarded) -> None:
    with pytest.raises(Unauthenticated):
        guarded.context.authenticate(None)


async def test_nor_with_a_wrong_one(guarded: Guarded) -> None:
    with pytest.raises(Unauthenticated):
        guarded.context.authenticate("sst_0_0")


async def test_a_token_lets_do_what_it_grants(guarded: Guarded) -> None:
    session = guarded.context.authenticate(await guarded.token("writer", "write"))
    await session.invoke(NotesCalls.write, WRITE)
    assert session.principal.name == "writer"


async def test_and_nothing_else(guarded: Guarded) -> None:
    session = guarded.context.authenticate(await guarded.token("reader", "read"))
    with pytest.raises(Forbidden):
        await session.invoke(NotesCalls.write, WRITE)


async def test_a_revoked_token_ends_what_it_began(guarded: Guarded) -> None:
    session = guarded.context.authenticate(await guarded.token("reader", "write"))
    await session.invoke(NotesCalls.write, WRITE)
    await guarded.stage.client(Tokens).revoke(id="reader")
    guarded.environment.advance(1.0)
    with pytest.raises(Unauthenticated):
        await session.invoke(NotesCalls.read, READ)


async def test_calls_are_logged_with_an_id_where_calls_are(
    environment: VirtualEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"telemetry": {"log_calls": True}, "doors": {"lines": {"listen": "127.0.0.1:0"}}}
    async with Stage.open(config=config, data="memory:", environment=environment, systems=(*SYSTEMS, NOTES)) as stage:
        await make(stage)
        await stage.open_doors()
        with caplog.at_level(logging.INFO, "soundstage.runtime"):
            await open_door(stage).context.authenticate(None).invoke(NotesCalls.write, WRITE)
    (line,) = [record for record in caplog.records if vars(record).get("operation") == "write"]
    assert len(vars(line)["request_id"]) == 32


async def test_a_namespace_that_is_there_is_left_as_it_is(free: DoorContext) -> None:
    await free.make_namespace(NamespaceSpec(name="home", abstraction="kv"))
    assert free.has_namespace("home")
    assert (await free.authenticate(None).invoke(NotesCalls.write, WRITE)).written > 0


async def test_ids_of_requests_differ(free: DoorContext) -> None:
    assert free.request_id() != free.request_id()
