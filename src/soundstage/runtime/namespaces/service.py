"""The system `namespaces`: what callers may see and change of the stage's namespaces."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from copy import deepcopy
from typing import Any

import msgspec

from soundstage.core.call import Call
from soundstage.core.errors import InvalidArgument
from soundstage.core.feed import Position
from soundstage.core.namespace import NamespaceChange, NamespaceInfo
from soundstage.core.pages import PageTokens
from soundstage.runtime.access import allows
from soundstage.runtime.control.changes import NamespaceControl
from soundstage.runtime.namespaces.api import (
    CopyNamespace,
    DeleteNamespace,
    DeleteNamespaceReply,
    Exported,
    ExportNamespace,
    Filled,
    GetNamespace,
    ImportNamespace,
    ListNamespaces,
    ListNamespacesReply,
    NamespaceEvent,
    NamespaceHistory,
    NamespaceHistoryReply,
    NamespacePlan,
    PlanNamespace,
    PutNamespace,
    WatchNamespaces,
)
from soundstage.runtime.namespaces.planning import NamespacePlanning
from soundstage.runtime.namespaces.transfers import NamespaceTransfers
from soundstage.runtime.service import ServiceContext
from soundstage.runtime.transfer.reach import Administered
from soundstage.runtime.work.context import JobContext

WATCH_BATCH = 100
"""Changes read at once for one who follows."""

_POSITION = re.compile(r"[0-9]{1,12}")


class NamespacesService:
    """Serves `NamespacesCalls`."""

    def __init__(self, context: ServiceContext) -> None:
        administered: Administered = context.administers
        self._control: NamespaceControl = administered.control
        self._transfers = NamespaceTransfers(administered, context.environment, context.compute)
        self._planning = NamespacePlanning(administered, context.compute)
        self._page_tokens: PageTokens = context.page_tokens

    async def start(self) -> None:
        """There is nothing to start: the control plane belongs to the stage."""

    async def stop(self) -> None:
        """There is nothing to stop."""

    def scopes(self, operation: str, request: Any) -> Sequence[str]:
        """The namespace itself; listing is for whoever may read any."""
        if isinstance(request, PutNamespace):
            return (request.namespace.name,)
        if isinstance(request, CopyNamespace):
            # That it may be read is seen to by the operation itself.
            return (request.to,)
        # Who may read anything may ask what something would need.
        return () if operation in {"list", "plan"} or request.name is None else (request.name,)

    async def put(self, call: Call, request: PutNamespace) -> NamespaceInfo:
        return _own(await self._control.put(request.namespace, request.expected_version, call.principal.name))

    async def get(self, call: Call, request: GetNamespace) -> NamespaceInfo:
        return _own(self._control.get(request.name))

    async def list(self, call: Call, request: ListNamespaces) -> ListNamespacesReply:
        after = self._page_tokens.open_place("namespaces/list", request)
        infos, unserved = self._control.applied.known, self._control.applied.unserved
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
            namespaces=[_own(infos[name]) for name in page],
            unserved={name: unserved[name].problem for name in page if name in unserved} or None,
            next_page_token=self._page_tokens.seal_place("namespaces/list", request, page[-1]) if more else None,
        )

    async def plan(self, call: Call, request: PlanNamespace) -> NamespacePlan:
        return await self._planning.plan(request)

    async def delete(self, call: Call, request: DeleteNamespace) -> DeleteNamespaceReply:
        info, left = await self._control.delete(request.name, request.expected_version, call.principal.name)
        return DeleteNamespaceReply(name=info.name, version=info.version, left=left)

    async def history(self, call: Call, request: NamespaceHistory) -> NamespaceHistoryReply:
        before = self._page_tokens.open_place("namespaces/history", request)
        found = await self._control.store.history(request.name, before, request.page_size + 1)
        if not found and before is None:
            raise self._control.unknown(request.name)
        page = found[: request.page_size]
        more = len(found) > len(page)
        return NamespaceHistoryReply(
            changes=[change for _, change in page],
            next_page_token=self._page_tokens.seal_place("namespaces/history", request, page[-1][0]) if more else None,
        )

    async def watch(self, call: Call, request: WatchNamespaces) -> AsyncGenerator[NamespaceEvent | Position]:
        store = self._control.store
        position = await self._beginning(request.cursor)
        while True:
            yield Position(str(position))
            seen = store.changed.count
            found = await store.changes(position, WATCH_BATCH)
            for at, change in found:
                if at != position + 1:
                    raise _forgotten(position, at)
                position = at
                if _wanted(request, change) and allows(call.principal, "read", change.namespace.name):
                    yield NamespaceEvent(cursor=str(at), change=change)
            if not found:
                await store.changed.wait(seen)

    async def _beginning(self, cursor: str | None) -> int:
        """The position after which a feed begins; `InvalidArgument` for a cursor that leads nowhere."""
        last = await self._control.store.position()
        if cursor is None:
            return last
        if not _POSITION.fullmatch(cursor) or int(cursor) > last:
            raise InvalidArgument(
                f"the cursor {cursor[:40]!r} is none of this feed",
                field="cursor",
                hint='send the cursor of a message as it came, "0" for everything that is kept, or none for what comes',
            )
        oldest = await self._control.store.oldest()
        if oldest is None:
            return last
        if cursor == "0":
            return oldest - 1
        if int(cursor) < oldest - 1:
            raise _forgotten(int(cursor), oldest)
        return int(cursor)

    async def check_export(self, call: Call, request: ExportNamespace) -> None:
        await self._transfers.check_export(call, request)

    async def export(self, call: Call, request: ExportNamespace, job: JobContext) -> Exported:
        return await self._transfers.export(request, job)

    async def check_import(self, call: Call, request: ImportNamespace) -> None:
        await self._transfers.check_import(call, request)

    async def import_(self, call: Call, request: ImportNamespace, job: JobContext) -> Filled:
        return await self._transfers.fill(call, request, job)

    async def check_copy(self, call: Call, request: CopyNamespace) -> None:
        await self._transfers.check_copy(call, request)

    async def copy(self, call: Call, request: CopyNamespace, job: JobContext) -> Filled:
        return await self._transfers.copy(call, request, job)


def _wanted(request: WatchNamespaces, change: NamespaceChange) -> bool:
    return request.name in (None, change.namespace.name) and request.abstraction in (
        None,
        change.namespace.abstraction,
    )


def _forgotten(position: int, oldest: int) -> InvalidArgument:
    return InvalidArgument(
        f"changes after the cursor {position} are not kept any more; the oldest is {oldest}",
        field="cursor",
        hint=f'list the namespaces as they are, then follow from the cursor "{oldest - 1}"',
    )


def _own(info: NamespaceInfo) -> NamespaceInfo:
    """`info` for a caller in process, whose changes are nobody else's."""
    # What else it is made of is frozen, and a page has a thousand of them.
    return msgspec.structs.replace(info, engines=dict(info.engines), config=deepcopy(info.config), slos=dict(info.slos))


SERVICE = NamespacesService
