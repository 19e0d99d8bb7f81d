"""What a system shows on a page of the console, as data: its module `pages` has them as `PANELS`.

Each panel shows what one operation of the system replies for the namespace that is chosen on the page; who may not call
the operation sees that instead. The names of fields are dotted paths in its request or reply.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How large spans are: a reply whose `rows` have the same `label` as spans, and `columns` of numbers to show.

    Of each column the path, what it is called, and whether it counts bytes. The first is drawn as the height of a span.
    """

    operation: str
    rows: str
    label: str
    columns: tuple[tuple[str, str, Literal["bytes", "count"]], ...]


class Spans(msgspec.Struct, frozen=True, kw_only=True, tag="spans"):
    """Rows of a reply as spans of time, one above the other, each with its state, and `columns` of its own numbers."""

    title: str
    about: str
    operation: str
    rows: str
    label: str
    start: str
    end: str
    state: str
    empty: str
    sizes: Sizes | None = None
    columns: tuple[tuple[str, str, Literal["bytes", "count"]], ...] = ()


class Bars(msgspec.Struct, frozen=True, kw_only=True, tag="bars"):
    """One row of a reply, chosen by its `label`, as a histogram: `at` and `count` of each of its `buckets`.

    `tables` are its fields that hold quantiles by name, with what they are called and whether they are bytes.
    """

    title: str
    about: str
    operation: str
    rows: str
    label: str
    buckets: str
    at: str
    count: str
    tables: tuple[tuple[str, str, Literal["bytes", "count"]], ...]
    empty: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a form. `pairs`: lines `KEY=VALUE`, as a list of messages with those two `keys`, the second as bytes.

    An `instant` begins so many seconds after now as `offset_s` says. A chosen span fills in the instants `span` names.
    """

    name: str
    label: str
    kind: Literal["text", "instant", "number", "pairs"] = "text"
    required: bool = False
    offset_s: int = 0
    span: Literal["start", "end", ""] = ""
    keys: tuple[str, str] = ("", "")
    hint: str = ""


class Query(msgspec.Struct, frozen=True, kw_only=True, tag="query"):
    """A form whose reply is shown as rows, page by page."""

    title: str
    about: str
    operation: str
    fields: tuple[Asked, ...]
    empty: str


Panel: TypeAlias = Spans | Bars | Query
