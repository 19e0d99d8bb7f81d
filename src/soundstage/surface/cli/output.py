"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from typing import Any, Literal, TypeAlias

import msgspec

from soundstage.surface.cli.failure import usage
from soundstage.surface.cli.grid import CUT, fields, grid
from soundstage.surface.cli.help import bold
from soundstage.surface.cli.tables import Listing, cells, listing, readable, rows

Format: TypeAlias = Literal["table", "json", "jsonl"]

FORMATS: tuple[Format, ...] = ("table", "json", "jsonl")

_STEERING = re.compile(r"[\x7f-\x9f]")
"""Control characters that JSON allows unescaped."""


def chosen_format(output: Format | None) -> Format:
    """`output`, or SOUNDSTAGE_OUTPUT, or a table on a terminal and JSON elsewhere."""
    return output or wanted_format() or ("table" if sys.stdout.isatty() else "json")


def wanted_format() -> Format | None:
    """What SOUNDSTAGE_OUTPUT asks for, if anything. Raises `CommandFailure` for what is no format."""
    wanted = os.environ.get("SOUNDSTAGE_OUTPUT", "")
    if not wanted or wanted in FORMATS:
        return wanted or None
    raise usage(f"SOUNDSTAGE_OUTPUT is {wanted!r}", hint=f"formats are {', '.join(FORMATS)}")


def show(reply: msgspec.Struct, output: Format) -> None:
    """`reply` stands on standard output."""
    show_listing(listing(reply), output)


def show_listing(found: Listing, output: Format) -> None:
    """The same for what `listing` made of a reply, or of several pages."""
    if output == "json":
        members = found.beside if found.elements is None else {found.name: found.elements, **found.beside}
        print(_json(members, indent=2))
    elif output == "jsonl":
        for line in (*(found.elements or ()), *((found.beside,) if found.beside or found.elements is None else ())):
            print(_json(line))
    else:
        _show_table(found)


def show_message(message: msgspec.Struct, output: Format) -> None:
    """One message of a feed stands on standard output, at once: a line of JSON, or fields and an empty line."""
    members = readable(message)
    if output == "table":
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print("\n".join([*fields(cells(members), width, bold), ""]), flush=True)
    else:
        print(_json(members), flush=True)


def _json(value: Any, indent: int | None = None) -> str:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _STEERING.sub(lambda steering: f"\\u{ord(steering[0]):04x}", text)


def _show_table(found: Listing) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    beside = fields(cells(found.beside, open_maps=True), width, bold)
    if found.elements is not None:
        _show_elements(found, width)
        if beside:
            print()
    for line in beside:
        print(line)


def _show_elements(found: Listing, width: int | None) -> None:
    lines = rows(found.elements or [])
    if not lines:
        print(f"no {found.name.replace('_', ' ')}")
        return
    laid, left_out = grid(lines, width)
    print(bold(laid[0]))
    for line in laid[1:]:
        print(line)
    if left_out and width is not None:
        note = f"left out: {', '.join(left_out)} (a wider terminal or --output json shows them)"
        print(textwrap.fill(note, width, break_on_hyphens=False, break_long_words=False))
    if any(CUT in line for line in laid):
        print(f"{CUT}: cut, --output json shows all")
