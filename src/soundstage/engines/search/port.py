"""The search port: indexes of documents, found by words, fields and vectors.

An index is made with the fields its documents may have, which never change; whoever needs others fills a second index
and points the alias by which it is searched there, in one step. Documents are replaced whole, under conditions.

- **Durable**: what `bulk` says was applied survives the end of the process and of the machine; `get` shows it at once.
- **Visible**: `search` and `nearest` show it at the latest `VISIBLE_WITHIN_S` later, or after the next `refresh`
  whoever made it. Until then they may show the document as it was.
- **Alike**: the same documents match on every engine, for words are made here (`soundstage.engines.search.analysis`)
  and values compared by rules of the port. Sorted pages and what is counted are alike too. Scores are not: see `Page`.

To write another engine: implement `Search`, announce what else it can in `capabilities`, and run
`soundstage.testing.search.SearchSuite` over it. `soundstage.engines.search.memory` is the specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from soundstage.engines.search.queries import Aggregation, All, Query, Result, Sort

NAME_MAX_CHARS = 100
INDEXES_MAX = 256
FIELDS_MAX = 256
ID_MAX_BYTES = 512
KEYWORD_MAX_BYTES = 4_096
VALUES_MAX = 1_000
"""In a field that takes several, and of objects in a nested one."""

DIMENSIONS_MAX = 1_024
INSTANT_MAX_US = 1 << 53
"""Either side of 1970: what a double holds exactly, which is what engines count instants with."""

DOCUMENT_MAX_BYTES = 256 << 10
"""As JSON."""

BULK_MAX_BYTES = 4 << 20
BULK_MAX_ACTIONS = 5_000
GET_MAX_IDS = 100
PAGE_MAX_HITS = 1_000
PAGE_MAX_BYTES = 4 << 20
SCORED_MAX_HITS = 10_000
"""How far pages in the order of scores go."""

NEAREST_MAX = 1_000
CLAUSES_MAX = 500
"""Of a query, words and values counted; engines make two of some, and have a limit at 1,024."""

DEPTH_MAX = 8
SORTS_MAX = 4
AGGREGATIONS_MAX = 32
AGGREGATION_DEPTH_MAX = 3
BUCKETS_MAX = 1_000
"""Of one aggregation in its place."""

ALL_BUCKETS_MAX = 10_000
"""Of one answer."""

DELETE_MAX = 10_000
"""Documents that go with one `delete_where`."""

VISIBLE_WITHIN_S = 1.0


class SearchCapability(StrEnum):
    """What an engine can beyond `Search`; ask, never catch."""

    DURABLE = "durable"
    SHARED = "shared"
    """Other processes with the same URL see the same indexes."""
    NESTED = "nested"
    """Fields of objects, and what is asked and counted over them."""
    VECTORS = "vectors"
    """Fields of vectors, and `VectorSearch`."""


class Kind(StrEnum):
    """What a field holds."""

    KEYWORD = "keyword"
    """A string that is compared as a whole, of at most 4 KiB."""
    TEXT = "text"
    """A string that is found by its words."""
    INTEGER = "integer"
    """64 bits with a sign, but for the least and the greatest of them."""
    DOUBLE = "double"
    """Neither infinite nor not a number."""
    BOOLEAN = "boolean"
    INSTANT = "instant"
    """Microseconds since 1970, within 2^53 of it."""
    VECTOR = "vector"
    """Numbers of 32 bits, as many as `dimensions`."""
    NESTED = "nested"
    """Objects with `fields` of their own."""


Similarity: TypeAlias = Literal["cosine", "dot", "euclidean"]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """What a document may have under a name; no document has to.

    `many`: a list of up to 1,000 values, none of them twice; for keywords, numbers, instants and booleans. `dimensions`
    and `similarity` are those of vectors; `fields` those of nested objects, which have no vectors and no objects.
    """

    kind: Kind
    many: bool = False
    dimensions: int = 0
    similarity: Similarity = "cosine"
    fields: dict[str, Field] = {}


class IndexSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An index as made. Names of indexes and aliases are of lower-case letters, digits, `-` and `_`, 1 to 100 of them.

    Names of fields begin with a letter and have letters, digits and `_`, all lower-case, 1 to 64 of them.
    """

    name: str
    fields: dict[str, Field]


class IndexInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An index that exists, and the aliases that point at it, in their order."""

    spec: IndexSpec
    aliases: list[str]


class Document(msgspec.Struct, frozen=True):
    """A document as it is kept. `revision` changes with every change of it and is the engine's to read."""

    id: str
    fields: dict[str, Any]
    revision: str


class Absent(msgspec.Struct, frozen=True, tag="absent"):
    """Only if there is no document of that id."""


class Unchanged(msgspec.Struct, frozen=True, tag="unchanged"):
    """Only if the document is there and has this revision."""

    revision: str


class Put(msgspec.Struct, frozen=True, tag="put"):
    """The document of that id has these fields and no others, if `when` holds; None: whatever there is."""

    id: str
    fields: dict[str, Any]
    when: Absent | Unchanged | None = None


class Delete(msgspec.Struct, frozen=True, tag="delete"):
    """There is no document of that id, if `when` holds."""

    id: str
    when: Unchanged | None = None


Action: TypeAlias = Put | Delete


class Status(StrEnum):
    """What became of one action."""

    APPLIED = "applied"
    MISSING = "missing"
    """A delete of what was not there."""
    CONFLICT = "conflict"
    """Its condition did not hold."""
    REJECTED = "rejected"
    """The engine had no room for it, for a `reason`; nothing was changed, and it may be tried again."""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """One action's; `revision` is the document's where a put was applied."""

    status: Status
    revision: str = ""
    reason: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched for, and what of it is returned.

    Without `sort` the order is that of scores. `after` is the end of another page of this request. `fields` are those
    that documents are returned with, all of them for None. `limit` may be 0. `count`: the total is wanted.
    """

    query: Query = All()
    sort: Sequence[Sort] = ()
    limit: int = 10
    after: bytes | None = None
    fields: Sequence[str] | None = None
    aggregations: dict[str, Aggregation] = {}
    count: bool = True


class Hit(msgspec.Struct, frozen=True):
    """A document that matches. `score` is None where something else decided the order."""

    document: Document
    score: float | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The first documents of a search, or those after the end of another page, and what was counted over all.

    **Sorted**, documents come by the keys, equal ones by their ids, and pages are stable: one that does not change
    while pages are read is on exactly one of them. **By score**, the best come first; scores are positive, comparable
    within one page and with nothing else: engines weigh words by BM25, but count them each in its own way. Pages by
    score go by position, so that what is written meanwhile may move a document to a page that was read, up to 10,000
    hits. A page ends early at 4 MiB. `after` is None when nothing follows.
    """

    hits: list[Hit]
    total: int | None = None
    after: bytes | None = None
    aggregations: dict[str, Result] = {}


class Nearest(msgspec.Struct, frozen=True, kw_only=True):
    """The `limit` documents whose vectors are most alike to `vector`, among those that `where` matches.

    Exactly those, unless `approximate` allows an engine to miss some where that is quicker.
    """

    field: str
    vector: Sequence[float]
    limit: int = 10
    where: Query | None = None
    fields: Sequence[str] | None = None
    approximate: bool = False


class Search(Protocol):
    """The calls every engine has. Indexes may be named by an alias, except where one is made or dropped.

    Failures are those of `soundstage.core.errors`: `NotFound` for an index that is not there, `InvalidArgument` for
    what its fields do not allow and what the engine's capabilities do not, before anything is changed; `TooLarge` over
    a limit; `Unavailable` and `DeadlineExceeded` (with `outcome`), `Exhausted`, `DataLoss`. `deadline_ns` is of the
    environment's monotonic clock. A call that changes something and is cancelled may have changed it.
    """

    capabilities: frozenset[SearchCapability]

    async def start(self) -> None:
        """Open; what an earlier run acknowledged is there. Call once."""
        ...

    async def stop(self) -> None:
        """Flush and close; idempotent. Calls still under way end with `Unavailable`."""
        ...

    async def create_index(self, spec: IndexSpec) -> None:
        """The index exists, durably. Idempotent; with other fields, or where an alias has the name, `AlreadyExists`."""
        ...

    async def drop_index(self, name: str) -> None:
        """The index and the aliases at it are gone. Unknown names are no error; for an alias `InvalidArgument`."""
        ...

    async def indexes(self) -> list[IndexInfo]:
        """All indexes, by name."""
        ...

    async def point(self, alias: str, index: str | None) -> None:
        """The alias names that index and no other from now on, or nothing any more; calls see one or the other.

        Other processes may see it up to a second later. `AlreadyExists` where an index has the name.
        """
        ...

    async def bulk(self, index: str, actions: Sequence[Action], *, deadline_ns: int | None = None) -> list[Outcome]:
        """What became of each action, in their order, which is also the order they are made in, for each id.

        Up to 5,000 of them and 4 MiB, else `TooLarge`; one that could never be made refuses all. Where the call ends
        with the outcome unknown, each may have been applied: puts without a condition may be repeated.
        """
        ...

    async def get(self, index: str, ids: Sequence[str], *, deadline_ns: int | None = None) -> list[Document | None]:
        """The documents of up to 100 ids, in their order, as they are now."""
        ...

    async def search(self, index: str, request: Request, *, deadline_ns: int | None = None) -> Page:
        """A page of what matches. Raises `InvalidArgument` for an `after` that belongs to another request."""
        ...

    async def refresh(self, index: str, *, deadline_ns: int | None = None) -> None:
        """All that was applied before is visible to everybody."""
        ...

    async def delete_where(
        self, index: str, query: Query, *, limit: int = DELETE_MAX, deadline_ns: int | None = None
    ) -> int:
        """Up to `limit` documents that match are gone, visibly; returns how many. Fewer than `limit`: none is left.

        It sees all that was applied before. What is changed while it is under way may be left, though it matches.
        """
        ...


@runtime_checkable
class VectorSearch(Protocol):
    """`SearchCapability.VECTORS`."""

    async def nearest(self, index: str, request: Nearest, *, deadline_ns: int | None = None) -> list[Hit]:
        """The documents, the most alike first; equally alike ones in any order, also where the limit cuts.

        Scores are the cosine, the dot product, or 1 / (1 + d²) of the distance, within a thousandth, on every engine.
        Raises `TooLarge` where the documents have more bytes than an engine returns: ask for fewer fields.
        """
        ...
