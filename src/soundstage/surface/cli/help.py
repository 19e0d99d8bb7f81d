"""How help looks: sections of two columns, as wide as the terminal and at most 110 characters.

The root command's page is made here without cyclopts and rich, whose loading takes longer than all the rest.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel

_WIDTH_MAX = 110
_LABEL_MAX = 38


class Section(NamedTuple):
    """A heading, a text below it, and entries of label and text."""

    title: str
    intro: str
    entries: list[tuple[str, str]]


def page(usage: str, intro: str, sections: Iterable[Section]) -> str:
    """A whole help page."""
    width = min(shutil.get_terminal_size().columns, _WIDTH_MAX)
    return "\n".join(
        (_usage(usage, width), "", _wrapped(intro, width), "", *(_section(each, width) for each in sections))
    )


def _usage(usage: str, width: int) -> str:
    return textwrap.fill(usage, width, subsequent_indent=" " * 10, break_on_hyphens=False, break_long_words=False)


def _wrapped(text: str, width: int, indent: int = 0) -> str:
    """`text` filled paragraph by paragraph."""
    pad = " " * indent
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
    return "\n\n".join(
        # An example is one line, however long, so that it can be copied.
        pad + part
        if part.startswith("Example: ")
        else textwrap.fill(part, width, initial_indent=pad, subsequent_indent=pad, break_on_hyphens=False)
        for part in paragraphs
    )


def _section(section: Section, width: int) -> str:
    fitting = [len(label) for label, _ in section.entries if len(label) <= _LABEL_MAX]
    column = max(fitting, default=0) + 4
    lines = [bold(section.title)]
    if section.intro:
        lines += [_wrapped(section.intro, width, 2), ""]
    for label, text in section.entries:
        lines += _entry(label, text, column, width)
    return "\n".join((*lines, ""))


def _entry(label: str, text: str, column: int, width: int) -> list[str]:
    head = f"  {label}"
    if not text:
        return [head]
    pad = " " * column
    if len(head) + 2 > column:
        return [head, textwrap.fill(text, width, initial_indent=pad, subsequent_indent=pad, break_on_hyphens=False)]
    return [
        textwrap.fill(text, width, initial_indent=head.ljust(column), subsequent_indent=pad, break_on_hyphens=False)
    ]


def bold(text: str) -> str:
    """`text` in bold on a terminal."""
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


class HelpPages:
    """Shows the help that cyclopts gathers; its `HelpFormatter`."""

    def __call__(self, console: Any, options: Any, panel: HelpPanel) -> None:
        """Print one panel."""
        if not panel.entries:
            return
        width = min(shutil.get_terminal_size().columns, _WIDTH_MAX)
        entries = [(_label(entry), _text(entry)) for entry in panel.entries]
        print(_section(Section(_plain(panel.title), _plain(panel.description), entries), width))

    def render_usage(self, console: Any, options: Any, usage: Any) -> None:
        """Print how the command is called."""
        text = f"Usage: {_plain(usage).removeprefix('Usage:').strip()}"
        print(_usage(text, min(shutil.get_terminal_size().columns, _WIDTH_MAX)), end="\n\n")

    def render_description(self, console: Any, options: Any, description: Any) -> None:
        """Print what the command does."""
        text = _plain(description)
        if text:
            print(_wrapped(text, min(shutil.get_terminal_size().columns, _WIDTH_MAX)), end="\n\n")


def _plain(shown: Any) -> str:
    """The text of whatever cyclopts hands to a formatter."""
    if shown is None:
        return ""
    primary = getattr(shown, "primary_renderable", None)
    if primary is not None:
        shown = primary
    return str(getattr(shown, "plain", shown)).strip()


_METAVARS = {"STR": "TEXT", "INT": "INTEGER", "FLOAT": "NUMBER", "PATH": "FILE"}
"""What flags of operations call these."""


def _label(entry: HelpEntry) -> str:
    metavar = _METAVARS.get(entry.metavar or "", entry.metavar)
    names = [_with_negative(name, entry.negative_names) for name in entry.positive_names[:1]]
    labels = [*filter(None, (entry.positional_label,)), *names, *entry.positive_shorts]
    return ", ".join(labels) + (f" {metavar}" if metavar and not entry.positional_label else "")


def _with_negative(name: str, negatives: tuple[str, ...]) -> str:
    """`--[no-]reverse` for a switch that can be turned off too."""
    prefix, _, last = name.removeprefix("--").rpartition(".")
    dotted = f"--{prefix}." if prefix else "--"
    return f"{dotted}[no-]{last}" if f"{dotted}no-{last}" in negatives else name


def _text(entry: HelpEntry) -> str:
    text = " ".join(_plain(entry.description).split())
    choices = f"one of {', '.join(entry.choices)}" if entry.choices else ""
    # That a switch is off unless it is given goes without saying.
    default = f"default {entry.default}" if entry.default not in (None, "False") else ""
    return "; ".join(filter(None, (text.rstrip("."), choices, default)))
