"""The system `namespaces`: what callers may see and change of the stage's namespaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from soundstage.core.call import Call
from soundstage.core.namespace import NamespaceInfo
from soundstage.core.pages import PageTokens, binding_of
from soundstage.runtime.access import allows
from soundstage.runtime.control.changes import NamespaceControl
from soundstage.runtime.namespaces.api import (
    DeleteNamespace,
    DeleteNamespaceReply,
    GetNamespace,
    ListNamespaces,
    ListNamespacesReply,
    NamespaceHistory,
    NamespaceHistoryReply,
    PutNamespace,
)
from soundstage.runtime.service import ServiceContext


class _After(msgspec.Struct, array_like=True):
    """The place of the last entry of the page before."""

    place: str


class NamespacesService:
    """Serves `NamespacesCalls`."""

    def __init__(self, context: ServiceContext) -> None:
        self._control: NamespaceControl = context.administers
        self._page_tokens: PageTokens = context.page_tokens

    async def start(self) -> None:
        """There is nothing to start: the control plane belongs to the stage."""

    async def stop(self) -> None:
        """There is nothing to stop."""

    def scopes(self, operation: str, request: Any) -> Sequence[str]:
        """The namespace itself; listing is for whoever may read any."""
        if isinstance(request, PutNamespace):
            return (request.namespace.name,)
        return () if operation == "list" else (request.name,)

    async def put(self, call: Call, request: PutNamespace) -> NamespaceInfo:
        return await self._control.put(request.namespace, request.expected_version, call.principal.name)

    async def get(self, call: Call, request: GetNamespace) -> NamespaceInfo:
        return self._control.get(request.name)

    async def list(self, call: Call, request: ListNamespaces) -> ListNamespacesReply:
        after = self._after("namespaces/list", request)
        infos = self._control.applied.infos
        names = sorted(
            name
            for name, info in infos.items()
            if (after is None or name > after)
            and request.abstraction in (None, info.abstraction)
            and allows(call.principal, "read", name)
        )
        page = names[: request.page_size]
        more = len(names) > len(page)
        return ListNamespacesReply(
            namespaces=[infos[name] for name in page],
            next_page_token=self._token("namespaces/list", request, page[-1]) if more else None,
        )

    async def delete(self, call: Call, request: DeleteNamespace) -> DeleteNamespaceReply:
        info = await self._control.delete(request.name, request.expected_version, call.principal.name)
        return DeleteNamespaceReply(name=info.name, version=info.version)

    async def history(self, call: Call, request: NamespaceHistory) -> NamespaceHistoryReply:
        before = self._after("namespaces/history", request)
        found = await self._control.store.history(request.name, before, request.page_size + 1)
        if not found and before is None:
            raise self._control.unknown(request.name)
        page = found[: request.page_size]
        more = len(found) > len(page)
        return NamespaceHistoryReply(
            changes=[change for _, change in page],
            next_page_token=self._token("namespaces/history", request, page[-1][0]) if more else None,
        )

    def _after(self, kind: str, request: ListNamespaces | NamespaceHistory) -> str | None:
        if request.page_token is None:
            return None
        return self._page_tokens.open(request.page_token, kind, binding_of(request), _After).place

    def _token(self, kind: str, request: ListNamespaces | NamespaceHistory, place: str) -> str:
        return self._page_tokens.seal(kind, binding_of(request), _After(place))


SERVICE = NamespacesService
