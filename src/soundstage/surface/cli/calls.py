"""Carrying one verb out: message, stage, call, result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

import msgspec

from soundstage.core.operation import Operation
from soundstage.surface.cli.attachments import fetched, sent
from soundstage.surface.cli.failure import DONE
from soundstage.surface.cli.flags import Flag
from soundstage.surface.cli.jobs import carry_out
from soundstage.surface.cli.options import Target
from soundstage.surface.cli.output import Format, chosen_format, show, show_listing, show_message
from soundstage.surface.cli.request import assemble, read_input
from soundstage.surface.cli.streams import send_file, write_file
from soundstage.surface.cli.tables import Listing, listing
from soundstage.surface.cli.target import Reached, reached, told


def call(
    operation: Operation[..., Any],
    flags: Sequence[Flag],
    given: Mapping[str, Any],
    target: Target,
    output: Format | None,
    path: str | None,
    all_pages: bool,
    detach: bool = False,
    out: str | None = None,
    file: str | None = None,
) -> int:
    """Call `operation` with the flags `given` by name, over the message in the file `path`, and print the reply.

    Files that the reply names are written to the folder `out`; of a download it is the file to write to, as `file` is
    what an upload sends.
    """
    request = assemble(operation.request, flags, given, read_input(path))
    if operation.kind == "feed":
        return _follow(operation, request, target, chosen_format(output))
    if operation.kind == "job":
        return carry_out(operation, request, target, chosen_format(output), detach, out)
    if operation.kind == "upload":
        return send_file(operation, request, target, chosen_format(output), file)
    if operation.kind == "download":
        return write_file(operation, request, target, out)
    asyncio.run(_call(operation, request, target, chosen_format(output), all_pages, out))
    return DONE


def _follow(operation: Operation[..., Any], request: Any, target: Target, output: Format) -> int:
    """Every message is printed as it comes, until Ctrl-C or the feed's end."""

    async def follow() -> None:
        async with (
            reached(target, reads=operation.reads) as stage,
            aclosing(stage.follow(operation, request)) as messages,
        ):
            async for message in messages:
                show_message(message, output)

    with suppress(KeyboardInterrupt):
        asyncio.run(follow())
    return DONE


async def _call(
    operation: Operation[..., Any], request: Any, target: Target, output: Format, all_pages: bool, out: str | None
) -> None:
    async with reached(target, reads=operation.reads) as stage:
        with told():
            request = await sent(request, stage.files)
        if not all_pages:
            reply = await stage.invoke(operation, request)
            show(reply, output)
            if out is not None:
                with told():
                    await fetched([reply], stage.files, out)
        elif output == "jsonl":
            async for page in _pages(stage, operation, request):
                show_listing(page, output)
        else:
            show_listing(joined([page async for page in _pages(stage, operation, request)]), output)


async def _pages(stage: Reached, operation: Operation[..., Any], request: Any) -> AsyncGenerator[Listing]:
    """Every page without its token, for the next is fetched."""
    async with aclosing(replies(stage, operation, request)) as found:
        async for reply in found:
            page = listing(reply)
            page.beside.pop("next_page_token", None)
            yield page


async def replies(stage: Reached, operation: Operation[..., Any], request: Any) -> AsyncGenerator[Any]:
    """The reply to `request`, and where it is a page those to what follows it, to the end."""
    while True:
        reply = await stage.invoke(operation, request)
        yield reply
        token = getattr(reply, "next_page_token", None)
        if token is None:
            return
        request = msgspec.structs.replace(request, page_token=token)


def joined(pages: Sequence[Listing]) -> Listing:
    """One listing of all; what stands beside the first page stays, later ones add what it lacks."""
    beside: dict[str, Any] = {}
    for page in reversed(pages):
        beside |= page.beside
    elements = [element for page in pages for element in page.elements or ()]
    return Listing(elements, pages[0].name, beside)
