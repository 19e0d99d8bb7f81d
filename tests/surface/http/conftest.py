from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import pytest
import trustme
import uvloop
from tests.runtime.conftest import NOTES, make
from tests.runtime.notes.service import NotesService
from tests.surface.http.asgi_client import Caller

from soundstage.catalogue import SYSTEMS
from soundstage.core.environment import Environment
from soundstage.core.namespace import NamespaceSpec
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.surface.http.app import Application
from soundstage.surface.http.server import Server

Serve: TypeAlias = Callable[..., Awaitable[str]]

OpenStage: TypeAlias = Callable[..., Awaitable[Stage]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that `soundstage up` runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def open_stage() -> AsyncIterator[OpenStage]:
    """Opens stages in memory with the systems `notes` and `kv`, and in each a namespace `home`, and `people` of kv."""
    async with AsyncExitStack() as opened:

        async def open(environment: Environment | None = None, **config: Any) -> Stage:
            stage = Stage.open(config=config, data="memory:", systems=(*SYSTEMS, NOTES), environment=environment)
            await opened.enter_async_context(stage)
            await make(stage)
            await stage.client(Namespaces).put(namespace=NamespaceSpec(name="people", abstraction="kv"))
            return stage

        yield open


@pytest.fixture
async def stage(open_stage: OpenStage) -> Stage:
    return await open_stage()


@pytest.fixture
def notes(stage: Stage) -> NotesService:
    service = stage.systems.service("notes")
    assert isinstance(service, NotesService)
    return service


@pytest.fixture
def caller(stage: Stage) -> Caller:
    """Calls the application in process."""
    return Caller(Application(stage, HttpConfig()))


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves a stage on a free port of the loopback, and returns its address."""
    async with AsyncExitStack() as served:

        async def serve(stage: Stage, **limits: Any) -> str:
            server = Server(stage, HttpConfig(port=0, **limits))
            url = await server.start()
            served.push_async_callback(server.stop)
            return url

        yield serve


@pytest.fixture
async def url(stage: Stage, serve: Serve) -> str:
    """The address of a server with the default limits."""
    return await serve(stage)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """What a client needs to trust the server."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
