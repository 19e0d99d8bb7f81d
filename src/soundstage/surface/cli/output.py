"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any, Literal, TypeAlias

import msgspec

from soundstage.surface.cli.failure import usage
from soundstage.surface.cli.tables import Listing, Row, cells, headings, listing, rows

Format: TypeAlias = Literal["table", "json", "jsonl"]

FORMATS: tuple[Format, ...] = ("table", "json", "jsonl")

_WIDE = 100_000
"""Columns of an output that is no terminal: no line is broken there."""

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


def _json(value: Any, indent: int | None = None) -> str:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _STEERING.sub(lambda steering: f"\\u{ord(steering[0]):04x}", text)


def _show_table(found: Listing) -> None:
    if found.elements is not None:
        lines = rows(found.elements)
        if lines:
            _print_grid(lines)
        else:
            print(f"no {found.name.replace('_', ' ')}")
    beside = cells(found.beside)
    if beside:
        _print_fields(beside)


def _print_grid(lines: list[Row]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    columns = list(dict.fromkeys(column for line in lines for column in line))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column, heading in zip(columns, headings(columns), strict=True):
        numeric = all(_is_number(line.get(column, "")) for line in lines)
        table.add_column(Text(heading), justify="right" if numeric else "left", overflow="fold")
    for line in lines:
        table.add_row(*(Text(line.get(column, "")) for column in columns))
    console().print(table)


def _print_fields(fields: Row) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(Text(name), Text(value))
    console().print(table)


def console() -> Any:
    """A rich console on standard output."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _WIDE, soft_wrap=False, highlight=False)


def _is_number(text: str) -> bool:
    return not text or text.replace(".", "", 1).removeprefix("-").isdecimal()
