"""Rows and fields laid out for people: columns as wide as they must be, long cells folded at spaces within theirs.

A word that is wider than its column is cut and ends with an ellipsis; a field of a single reply is never cut, so that
it can be copied.

Where a row does not fit, columns are left out and named: first what is a message within a message or a map of
data, then what stands furthest right. JSON has them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from soundstage.surface.cli.tables import Row, Spread, headings

GAP = 3
"""Spaces between two columns."""

FOLD_AT = 40
"""Cells beyond this width are folded before a column is left out for them."""

FOLD_MIN = 8
"""No column is folded to less."""

KEPT_MIN = 2
"""So many columns stay, whatever the width."""

CUT = "…"
"""What stands for the rest of a word that was cut."""


class Column(NamedTuple):
    """One column: the dotted `path` of its field, and a cell per row."""

    path: str
    heading: str
    cells: list[str]
    width: int

    @property
    def numeric(self) -> bool:
        return all(_is_number(cell) for cell in self.cells)

    @property
    def rank(self) -> int:
        """How dispensable it is."""
        return max(
            self.path.count("."), int(any(isinstance(cell, Spread) and len(cell) > FOLD_AT for cell in self.cells))
        )


class Grid(NamedTuple):
    """Lines to print, the first of which is the headings, and the headings of what did not fit."""

    lines: list[str]
    left_out: list[str]


def grid(rows: Sequence[Row], width: int | None = None) -> Grid:
    """`rows` in columns within `width` cells of a terminal, or as wide as they are without one."""
    columns, left_out = _fitting(_columns(rows), width)
    widths = _widths([column.width for column in columns], width)
    numeric = [column.numeric for column in columns]
    heads = [_cut(column.heading, limit) for column, limit in zip(columns, widths, strict=True)]
    lines = _lines(heads, widths, numeric)
    rule = "─" * (sum(widths) + GAP * (len(widths) - 1))
    for number in range(len(rows)):
        folded = [_cut(column.cells[number], limit) for column, limit in zip(columns, widths, strict=True)]
        lines += _lines(folded, widths, numeric)
    return Grid([*lines[: max(map(len, heads))], rule, *lines[max(map(len, heads)) :]], left_out)


def fields(members: Row, width: int | None = None, emphasise: Callable[[str], str] = str) -> list[str]:
    """A line for each field, `name  value`; long values are folded below themselves."""
    names = max(map(_width, members), default=0)
    room = None if width is None else max(FOLD_MIN, width - names - 2)
    lines: list[str] = []
    for name, value in members.items():
        first, *rest = _folded(value, room)
        lines.append(f"{emphasise(name)}{' ' * (names - _width(name))}  {first}".rstrip())
        lines += [f"{' ' * names}  {line}".rstrip() for line in rest]
    return lines


def _columns(rows: Sequence[Row]) -> list[Column]:
    """The columns that say something."""
    paths = list(dict.fromkeys(path for row in rows for path in row))
    cells = {path: [row.get(path, "") for row in rows] for path in paths}
    paths = [path for path in paths if any(cells[path])] or paths[:1]
    return [
        Column(path, heading, cells[path], max(_width(heading), *map(_widest, cells[path])))
        for path, heading in zip(paths, headings(paths), strict=True)
    ]


def _fitting(columns: list[Column], width: int | None) -> tuple[list[Column], list[str]]:
    """The columns that fit, and the headings of the others in their order."""
    kept = list(columns)
    while width is not None and len(kept) > KEPT_MIN and _least(kept) > width:
        kept.remove(max(reversed(kept), key=lambda column: column.rank))
    return kept, [column.heading for column in columns if column not in kept]


def _least(columns: list[Column]) -> int:
    return sum(min(column.width, FOLD_AT) for column in columns) + GAP * (len(columns) - 1)


def _widths(natural: list[int], width: int | None) -> list[int]:
    """The width of each column: its own, or a bound for all where they are too wide together."""
    room = sum(natural) if width is None else width - GAP * (len(natural) - 1)
    for bound in range(max(room, FOLD_MIN), FOLD_MIN, -1):
        widths = [min(each, bound) for each in natural]
        if sum(widths) <= room:
            return widths
    return [min(each, FOLD_MIN) for each in natural]


def _lines(cells: Sequence[Sequence[str]], widths: Sequence[int], numeric: Sequence[bool]) -> list[str]:
    """One row, as many lines high as its highest cell."""
    lines: list[str] = []
    for number in range(max(map(len, cells))):
        parts: list[str] = []
        for cell, width, right in zip(cells, widths, numeric, strict=True):
            text = cell[number] if number < len(cell) else ""
            pad = " " * (width - _width(text))
            parts.append(pad + text if right else text + pad)
        lines.append((" " * GAP).join(parts).rstrip())
    return lines


def _folded(text: str, width: int | None) -> list[str]:
    """`text` as lines of at most `width` cells, or of one word that is wider."""
    lines = text.expandtabs(4).split("\n")
    if width is None:
        return lines
    return [part for line in lines for part in (_broken(line, width) if _width(line) > width else [line])]


def _cut(text: str, width: int) -> list[str]:
    """`text` as lines of at most `width` cells, whatever its words are like."""
    return [line if _width(line) <= width else _beginning(line, width) for line in _folded(text, width)]


def _beginning(word: str, width: int) -> str:
    """As much of `word` as fits with the sign that some is missing."""
    if word.isascii():
        return word[: width - 1] + CUT
    kept = ""
    for character in word:
        if _width(kept + character) > width - 1:
            break
        kept += character
    return kept + CUT


def _broken(line: str, width: int) -> list[str]:
    """`line` broken at spaces."""
    first, *words = line.split(" ")
    parts = [first]
    for word in words:
        longer = f"{parts[-1]} {word}"
        if _width(longer) <= width:
            parts[-1] = longer
        else:
            parts.append(word)
    return parts


def _widest(text: str) -> int:
    return max(map(_width, text.expandtabs(4).split("\n")))


def _width(text: str) -> int:
    """How many cells of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _is_number(text: str) -> bool:
    return not text or text.replace(".", "", 1).removeprefix("-").isdecimal()
