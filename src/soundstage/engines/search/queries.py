"""What may be asked of an index: which documents match, in which order they come, what is counted over them.

Messages only; `soundstage.engines.search.checks` says which of them an index understands, and
`soundstage.engines.search.evaluation` what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

Scalar: TypeAlias = str | int | float | bool
"""One value: of a keyword or text, an integer or instant, a double, a boolean."""


class All(msgspec.Struct, frozen=True, tag="all"):
    """Every document."""


class Term(msgspec.Struct, frozen=True, tag="term"):
    """The field has this very value, as one of its values where it has several. Not for text: see `Match`."""

    field: str
    value: Scalar


class Terms(msgspec.Struct, frozen=True, tag="terms"):
    """The field has at least one of these values."""

    field: str
    values: Sequence[Scalar]


class Range(msgspec.Struct, frozen=True, tag="range", kw_only=True):
    """One value of the field is within all the bounds that are given. Keywords are ordered by their code points."""

    field: str
    above: Scalar | None = None
    at_least: Scalar | None = None
    at_most: Scalar | None = None
    below: Scalar | None = None


class Prefix(msgspec.Struct, frozen=True, tag="prefix"):
    """A keyword begins so; or a word of a text does, for which `value` is one word or the beginning of one."""

    field: str
    value: str


class Exists(msgspec.Struct, frozen=True, tag="exists"):
    """The field has a value. An empty list is none, and so is a text without words."""

    field: str


class Match(msgspec.Struct, frozen=True, tag="match"):
    """The text field has the words of `text`, `every` one of them or any. A text without words matches nothing."""

    field: str
    text: str
    every: bool = True


class Phrase(msgspec.Struct, frozen=True, tag="phrase"):
    """The text field has the words of `text` next to each other, in their order."""

    field: str
    text: str


class Nested(msgspec.Struct, frozen=True, tag="nested"):
    """One and the same object of the nested field matches `query`, whose fields are those of the object."""

    field: str
    query: Query


class Bool(msgspec.Struct, frozen=True, tag="bool", kw_only=True):
    """All of `must` and `filter` match, none of `must_not`, and at least `should_min` of `should`.

    Without `should_min`, one of `should` has to match where there is no `must` and no `filter`, else none has to.
    `filter` and `must_not` add nothing to scores. Without anything, every document matches.
    """

    must: Sequence[Query] = ()
    should: Sequence[Query] = ()
    must_not: Sequence[Query] = ()
    filter: Sequence[Query] = ()
    should_min: int | None = None

    @property
    def least(self) -> int:
        """How many of `should` have to match."""
        if self.should_min is not None:
            return self.should_min
        return 0 if self.must or self.filter or not self.should else 1


Query: TypeAlias = All | Term | Terms | Range | Prefix | Exists | Match | Phrase | Nested | Bool


class Sort(msgspec.Struct, frozen=True):
    """By the value of a field that has one; documents without it come last, up or down."""

    field: str
    descending: bool = False


class TermBuckets(msgspec.Struct, frozen=True, tag="terms", kw_only=True):
    """A bucket for each value, the `limit` with the most documents; among equals those with the least values."""

    field: str
    limit: int = 10
    within: dict[str, Aggregation] = {}


class Interval(msgspec.Struct, frozen=True):
    """From `start`, inclusive, to `end`, exclusive; None: without a bound."""

    start: float | None = None
    end: float | None = None


class RangeBuckets(msgspec.Struct, frozen=True, tag="ranges", kw_only=True):
    """A bucket for each of `ranges`, which may overlap, in their order; its key is its number from 0."""

    field: str
    ranges: Sequence[Interval]
    within: dict[str, Aggregation] = {}


class HistogramBuckets(msgspec.Struct, frozen=True, tag="histogram", kw_only=True):
    """A bucket for each multiple of `width` that has documents; from there on, below the next, lie their values."""

    field: str
    width: float
    within: dict[str, Aggregation] = {}


class NestedBucket(msgspec.Struct, frozen=True, tag="nested", kw_only=True):
    """One bucket, with key 0, of all objects of a nested field; `within` and counts are over objects."""

    field: str
    within: dict[str, Aggregation] = {}


class Summary(msgspec.Struct, frozen=True, tag="summary"):
    """Number, least, greatest and sum of the values of a field, as doubles."""

    field: str


class Distinct(msgspec.Struct, frozen=True, tag="distinct"):
    """How many values of the field differ: exact up to 1,000, else within 5 %."""

    field: str


Aggregation: TypeAlias = TermBuckets | RangeBuckets | HistogramBuckets | NestedBucket | Summary | Distinct


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """Documents that have something in common: `key`. What was asked for `within` it."""

    key: Scalar
    count: int
    within: dict[str, Result] = {}


class Buckets(msgspec.Struct, frozen=True, tag="buckets", kw_only=True):
    """`others` counts, for `TermBuckets`, what lies in buckets beyond the limit."""

    buckets: list[Bucket]
    others: int = 0


class Totals(msgspec.Struct, frozen=True, tag="totals", kw_only=True):
    """What `Summary` found; without values there is no least and no greatest one, and the sum is 0."""

    count: int
    least: float | None = None
    greatest: float | None = None
    sum: float = 0.0

    @property
    def average(self) -> float | None:
        """The mean; None without values."""
        return self.sum / self.count if self.count else None


class Count(msgspec.Struct, frozen=True, tag="count"):
    """What `Distinct` found."""

    count: int


Result: TypeAlias = Buckets | Totals | Count
