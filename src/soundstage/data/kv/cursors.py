"""Where a walk goes on, inside a page token."""

from __future__ import annotations

import msgspec

from soundstage.core.pages import PageTokens
from soundstage.data import cursors
from soundstage.data.kv.api import GetItems, ScanItems, Selection

GET = "kv/get_items/1"
SCAN = "kv/scan_items/1"


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """`resume` is the bound of the next span, a key of `match_keys`, or the position of a walk.

    `generation` is the namespace's, `items_left` what is left of `item_limit`, `row_bytes` the estimate.
    """

    generation: int
    resume: bytes
    items_left: int | None
    row_bytes: float


def seal(tokens: PageTokens, request: GetItems | ScanItems, cursor: Cursor) -> str:
    """The page token with which `request` goes on at `cursor`."""
    return cursors.seal(tokens, _kind(request), _bound(request), cursor)


def unseal(tokens: PageTokens, request: GetItems | ScanItems, generation: int) -> Cursor | None:
    """The cursor in the request's page token, None without one. Raises `InvalidArgument` for a foreign one."""
    return cursors.unseal(tokens, _kind(request), _bound(request), Cursor, generation)


def _kind(request: GetItems | ScanItems) -> str:
    return GET if isinstance(request, GetItems) else SCAN


def _bound(request: GetItems | ScanItems) -> GetItems | ScanItems:
    """What of a request its pages are bound to: not how new they are, which clients see to from page to page."""
    if isinstance(request, ScanItems):
        return request
    if request.selection is not None and request.selection == Selection():
        request = msgspec.structs.replace(request, selection=None)
    return request if request.min_version is None else msgspec.structs.replace(request, min_version=None)
