"""What is read rather than called: health, metrics, the description of the interface, docs and console."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

import msgspec

from soundstage.core.call import LOCAL, Access
from soundstage.core.errors import Unauthenticated
from soundstage.runtime.access import authorise
from soundstage.runtime.stage import Stage
from soundstage.surface.http.head import Head
from soundstage.surface.http.reply import Reply

Show: TypeAlias = Callable[[str], Awaitable[Reply]]

_JSON = (b"content-type", b"application/json")
_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_HTML = (b"content-type", b"text/html; charset=utf-8")
_FRESH = (b"cache-control", b"no-store")

_GUARDS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
        b"img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Page(NamedTuple):
    """Something to GET. `public` is open to all; others need a token, and `access` where it says so."""

    show: Show
    public: bool = False
    access: Access | None = None
    html: bool = False


class Pages:
    """All pages of a stage by path."""

    def __init__(self, stage: Stage, *, observe_only: bool) -> None:
        self._stage = stage
        self._pages: dict[str, Page] = {
            "/health/live": Page(self._live, public=True),
            "/health/ready": Page(self._ready, public=True),
            "/metrics": Page(self._metrics, access="observe"),
        }
        if not observe_only:
            self._pages |= {
                "/openapi.json": Page(self._openapi),
                "/docs": Page(self._docs, html=True),
                "/": Page(self._console, html=True),
                "/status.json": Page(self._status),
            }
        self._html_of_operations = not observe_only

    @property
    def paths(self) -> list[str]:
        return list(self._pages)

    def find(self, path: str) -> Page | None:
        """The page at `path`; the console has one for every operation."""
        found = self._pages.get(path)
        if found is not None or not self._html_of_operations or not path.startswith("/console/"):
            return found
        system, _, operation = path.removeprefix("/console/").partition("/")

        async def show(_query: str) -> Reply:
            from soundstage.surface.console.render import operation_page

            return _page(operation_page(self._stage, system, operation))

        return Page(show, html=True)

    def refusal(self, page: Page, head: Head) -> Reply | None:
        """None for who may see `page`; a login page for a browser without a token. Raises for others."""
        try:
            principal = self._stage.authenticate(head.authorization_text())
        except Unauthenticated:
            if page.html and b"text/html" in head.accept and not head.authorization:
                from soundstage.surface.console.render import login_page

                return _page(login_page(), 401, [(b"www-authenticate", b'Bearer realm="soundstage"')])
            raise
        if page.access is not None and principal is not LOCAL:
            authorise(principal, page.access, (), "see this page")
        return None

    async def _live(self, _query: str) -> Reply:
        return Reply(200, [_JSON, _FRESH], b'{"status":"live"}')

    async def _ready(self, _query: str) -> Reply:
        health = self._stage.health()
        body = msgspec.json.encode({"status": "ready" if health.ready else "not ready", "reasons": health.reasons})
        return Reply(200 if health.ready else 503, [_JSON, _FRESH], body)

    async def _metrics(self, _query: str) -> Reply:
        return Reply(200, [_TEXT, _FRESH], self._stage.metrics_text())

    async def _openapi(self, _query: str) -> Reply:
        from soundstage.surface.openapi import document

        return Reply(200, [_JSON], msgspec.json.encode(document(self._stage)))

    async def _docs(self, _query: str) -> Reply:
        from soundstage.surface.console.render import docs_page

        return _page(docs_page(self._stage))

    async def _console(self, _query: str) -> Reply:
        from soundstage.surface.console.render import home_page

        return _page(await home_page(self._stage))

    async def _status(self, _query: str) -> Reply:
        from soundstage.surface.console.status import status

        return Reply(200, [_JSON, _FRESH], msgspec.json.encode(await status(self._stage)))


def _page(html: str, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> Reply:
    return Reply(status, [_HTML, _FRESH, *_GUARDS, *(headers or [])], html.encode())
