"""What is read rather than called: health, metrics, the description of the interface, docs and console."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from soundstage.core.call import Access, Principal
from soundstage.core.codec import json_encode
from soundstage.runtime.access import authorise
from soundstage.runtime.folders import without_paths
from soundstage.runtime.stage import Stage
from soundstage.surface.http.head import Head
from soundstage.surface.http.reply import CHALLENGE, FRESH, JSON_TYPE, LIVE, Reply, health_reply

if TYPE_CHECKING:
    from soundstage.surface.console.form import Forms

Show: TypeAlias = Callable[[Principal], Awaitable[Reply]]

CONSOLE = "/console/"
"""Where the page of each operation is: `/console/<system>/<operation>`, as data with `.json` after it."""

_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_HTML = (b"content-type", b"text/html; charset=utf-8")
_NOT_SNIFFED = (b"x-content-type-options", b"nosniff")


class Page(NamedTuple):
    """Something to GET. `public` is open to all; others need a token, and `access` where it says so."""

    show: Show
    public: bool = False
    access: Access | None = None
    html: bool = False


class Pages:
    """All pages of a stage by path. `not_ready` tells what the stage does not know of."""

    def __init__(self, stage: Stage, not_ready: Callable[[], list[str]], *, observe_only: bool) -> None:
        self._stage = stage
        self._not_ready = not_ready
        self._observe_only = observe_only
        self._unchanging: dict[str, bytes] = {}
        self._forms: Forms | None = None
        self._pages: dict[str, Page] = {
            "/health/live": Page(self._live, public=True),
            "/health/ready": Page(self._ready, public=True),
            "/metrics": Page(self._metrics, access="observe", public=observe_only),
        }
        if not observe_only:
            self._pages |= {
                "/openapi.json": Page(self._openapi),
                "/docs": Page(self._docs, html=True),
                "/": Page(self._home, html=True),
                "/status.json": Page(self._status),
            }

    @property
    def paths(self) -> list[str]:
        """Where there are pages, but for those of single operations."""
        return list(self._pages)

    def find(self, path: str) -> Page | None:
        """The page at `path`; the console has one for every operation."""
        found = self._pages.get(path)
        if found is not None or self._observe_only or not path.startswith(CONSOLE):
            return found
        system, _, operation = path.removeprefix(CONSOLE).partition("/")
        if system in self._with_panels and not operation and not path.endswith("/"):
            return Page(partial(self._system, system), html=True)
        as_data = operation.endswith(".json")
        operation = operation.removesuffix(".json")

        async def show(_: Principal) -> Reply:
            return await self._operation(system, operation, as_data)

        return Page(show, html=not as_data)

    def admit(self, page: Page | None, head: Head) -> Principal:
        """Who asks for `page`, or for something that is none. Raises for whoever may not see it."""
        principal = self._stage.authenticate(head.authorization_text())
        if page is not None and page.access is not None:
            authorise(principal, page.access, (), "see this page")
        return principal

    def login(self) -> Reply:
        """Asks a browser for a token."""
        from soundstage.surface.console.render import login_page

        return _html(login_page().encode(), 401, [CHALLENGE])

    async def _live(self, _: Principal) -> Reply:
        return health_reply(200, LIVE)

    async def _ready(self, _: Principal) -> Reply:
        health = self._stage.health()
        reasons = self._for_everyone([*self._not_ready(), *health.reasons])
        told: dict[str, Any] = {"status": "not ready" if reasons else "ready", "reasons": reasons}
        if health.warnings:
            told["warnings"] = self._for_everyone(health.warnings)
        if health.unserved:
            told["unserved"] = self._for_everyone(health.unserved)
        return health_reply(503 if reasons else 200, told)

    def _for_everyone(self, texts: list[str]) -> list[str]:
        """`texts` without the paths of this machine, which the status page has."""
        return [without_paths(text, self._stage.config) for text in texts]

    async def _metrics(self, _: Principal) -> Reply:
        gather = self._stage.gather
        text = self._stage.metrics_text() if gather is None else await gather()
        return Reply(200, [_TEXT, FRESH], text)

    async def _openapi(self, _: Principal) -> Reply:
        from soundstage.surface.openapi import document

        body = await self._once("/openapi.json", lambda: msgspec.json.encode(document(self._stage)))
        return Reply(200, [JSON_TYPE, _NOT_SNIFFED], body)

    async def _docs(self, _: Principal) -> Reply:
        from soundstage.surface.console.render import docs_page

        forms = await self._all_forms()
        return _html(await self._once("/docs", lambda: docs_page(self._stage, forms).encode()))

    async def _home(self, principal: Principal) -> Reply:
        from soundstage.surface.console.render import home_page
        from soundstage.surface.console.status import status

        return _html(home_page(await status(self._stage, principal, self._not_ready())).encode())

    async def _status(self, principal: Principal) -> Reply:
        from soundstage.surface.console.status import status

        found = await status(self._stage, principal, self._not_ready())
        return Reply(200, [JSON_TYPE, FRESH, _NOT_SNIFFED], json_encode(found))

    @cached_property
    def _with_panels(self) -> frozenset[str]:
        """The systems that have a page of their own."""
        return frozenset(name for name in self._stage.systems.catalogue if self._stage.systems.panels(name))

    async def _system(self, name: str, _: Principal) -> Reply:
        from soundstage.surface.console.render import system_page

        found, panels = self._stage.systems.catalogue[name], self._stage.systems.panels(name)
        return _html(await self._once(f"{CONSOLE}{name}", lambda: system_page(found, panels).encode()))

    async def _operation(self, system: str, operation: str, as_data: bool) -> Reply:
        from soundstage.surface.console.render import operation_page

        declared = self._stage.operation(system, operation).operation
        form = (await self._all_forms())[declared.system, declared.name]
        if as_data:
            return Reply(200, [JSON_TYPE, _NOT_SNIFFED], msgspec.json.encode(form))
        path = f"{CONSOLE}{system}/{operation}"
        return _html(await self._once(path, lambda: operation_page(form).encode()))

    async def _all_forms(self) -> Forms:
        from soundstage.surface.console.form import forms_of

        if self._forms is None:
            self._forms = await asyncio.to_thread(forms_of, self._stage)
        return self._forms

    async def _once(self, path: str, make: Callable[[], bytes]) -> bytes:
        """A page that stays the same, made at its first visit in a thread: templates take their time."""
        found = self._unchanging.get(path)
        if found is None:
            found = self._unchanging[path] = await asyncio.to_thread(make)
        return found


def _html(body: bytes, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> Reply:
    from soundstage.surface.console.render import CONTENT_POLICY

    guards = [
        (b"content-security-policy", CONTENT_POLICY),
        (b"referrer-policy", b"no-referrer"),
        _NOT_SNIFFED,
    ]
    return Reply(status, [_HTML, FRESH, *guards, *(headers or [])], body)
