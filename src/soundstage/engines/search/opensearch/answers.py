"""What a cluster answers, as far as it is looked at: whatever else a proxy or another program says is no answer."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import field

from soundstage.engines.search.opensearch import failures

T = TypeVar("T")


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class Version(msgspec.Struct, frozen=True):
    """Which program answers."""

    number: str
    distribution: str = "elasticsearch"


class Cluster(msgspec.Struct, frozen=True):
    """What a cluster says of itself."""

    version: Version


class Mapped(msgspec.Struct, frozen=True):
    """What an index has."""

    mappings: dict[str, Any] = {}


class Aliased(msgspec.Struct, frozen=True):
    """By which names an index is known besides its own."""

    aliases: dict[str, Any] = {}


class Made(msgspec.Struct, frozen=True, gc=False):
    """What became of one action of many."""

    status: int
    seq_no: int = field(name="_seq_no", default=0)
    primary_term: int = field(name="_primary_term", default=0)
    error: dict[str, Any] | None = None


class Item(msgspec.Struct, frozen=True, gc=False):
    """The same under the word that the action was sent with."""

    index: Made | None = None
    create: Made | None = None
    delete: Made | None = None


class Bulk(msgspec.Struct, frozen=True):
    """The same of all actions, in their order."""

    items: list[Item]


class Document(msgspec.Struct, frozen=True):
    """A document, in a list of hits or by its id."""

    id: str = field(name="_id")
    source: dict[str, Any] | None = field(name="_source", default=None)
    seq_no: int = field(name="_seq_no", default=0)
    primary_term: int = field(name="_primary_term", default=0)
    score: float | None = field(name="_score", default=None)
    found: bool = False
    error: dict[str, Any] | None = None


class Documents(msgspec.Struct, frozen=True):
    """Documents by their ids."""

    docs: list[Document]


class Total(msgspec.Struct, frozen=True):
    """How many match."""

    value: int


class Hits(msgspec.Struct, frozen=True):
    """The first of them."""

    hits: list[Document]
    total: Total = Total(0)


class Shards(msgspec.Struct, frozen=True):
    """Which parts of an index did not answer."""

    failures: list[Any] = []


class Searched(msgspec.Struct, frozen=True):
    """What a search found."""

    hits: Hits
    shards: Shards = field(name="_shards")
    timed_out: bool = False
    aggregations: dict[str, Any] = {}


class Deleted(msgspec.Struct, frozen=True):
    """How many documents went."""

    deleted: int


class Done(msgspec.Struct, frozen=True):
    """What was asked for was done; nothing more of the answer is looked at."""


def read(answer: Answer, kind: type[T]) -> T:
    """What a good answer says. Raises what a bad one means, and `Unavailable` for what is no answer of a cluster."""
    if answer.status >= 400:
        raise failures.meaning(answer.status, failures.cause_of(answer.body))
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.MsgspecError as error:
        raise failures.no_answer(error) from None
