"""Engines with one mistake each, and what of the suite sees it: each goes through it in a run of pytest of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.testing.examination import Examination

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import SoundstageError
from soundstage.engines.search.memory import MemorySearch
from soundstage.engines.search.port import (
    Absent,
    Action,
    Document,
    Hit,
    IndexSpec,
    Nearest,
    Outcome,
    Page,
    Put,
    Request,
    Status,
    Unchanged,
)
from soundstage.engines.search.queries import (
    Bool,
    Buckets,
    HistogramBuckets,
    Match,
    Nested,
    Phrase,
    Prefix,
    Query,
    Range,
    Summary,
    Term,
    Totals,
)

SUBJECT = Path(__file__).with_name("subject.py")
replace = msgspec.structs.replace


def rewritten(query: Query, change: Callable[[Query], Query]) -> Query:
    """The query with `change` made in each of its parts."""
    if isinstance(query, Bool):
        parts = {
            name: [rewritten(each, change) for each in getattr(query, name)]
            for name in ("must", "should", "must_not", "filter")
        }
        return change(replace(query, **parts))
    if isinstance(query, Nested):
        return change(Nested(query.field, rewritten(query.query, change)))
    return change(query)


class Misreading(MemorySearch):
    """An engine that takes some queries for others."""

    def change(self, query: Query) -> Query:
        return query

    async def search(self, index: str, request: Request, **more: Any) -> Page:
        try:
            changed = replace(request, query=rewritten(request.query, self.change))
            return await super().search(index, changed, **more)
        except SoundstageError:
            return await super().search(index, request, **more)


class Inclusive(Misreading):
    """Takes bounds that are excluded for included."""

    def change(self, query: Query) -> Query:
        if isinstance(query, Range) and query.above is not None:
            return replace(query, above=None, at_least=query.above)
        return query


class Generous(Misreading):
    """Takes any word for every word."""

    def change(self, query: Query) -> Query:
        return replace(query, every=False) if isinstance(query, Match) else query


class Loose(Misreading):
    """Takes a phrase for words in any order."""

    def change(self, query: Query) -> Query:
        return Match(query.field, query.text) if isinstance(query, Phrase) else query


class Whole(Misreading):
    """Takes a beginning of a keyword for the whole."""

    def change(self, query: Query) -> Query:
        return Term(query.field, query.value) if isinstance(query, Prefix) else query


class Optional(Misreading):
    """Takes what should match for what need not."""

    def change(self, query: Query) -> Query:
        return replace(query, should_min=0) if isinstance(query, Bool) and query.should else query


class Strict(Misreading):
    """Takes what should match for what has to."""

    def change(self, query: Query) -> Query:
        if not isinstance(query, Bool) or not query.should or query.should_min is not None:
            return query
        return replace(query, must=[*query.must, *query.should], should=[])


class Agreeing(Misreading):
    """Leaves out what must not match."""

    def change(self, query: Query) -> Query:
        return replace(query, must_not=[]) if isinstance(query, Bool) else query


class Flat(MemorySearch):
    """Asks all objects of a document together."""

    async def search(self, index: str, request: Request, **more: Any) -> Page:
        def split(query: Query) -> Query:
            if isinstance(query, Nested) and isinstance(query.query, Bool):
                return Bool(must=[Nested(query.field, each) for each in query.query.must] or [query])
            return query

        return await super().search(index, replace(request, query=rewritten(request.query, split)), **more)


class Unsorted(MemorySearch):
    """Sorts by the first key alone."""

    async def search(self, index: str, request: Request, **more: Any) -> Page:
        return await super().search(index, replace(request, sort=request.sort[:1]), **more)


class Upward(MemorySearch):
    """Sorts up only."""

    async def search(self, index: str, request: Request, **more: Any) -> Page:
        sort = [replace(each, descending=False) for each in request.sort]
        return await super().search(index, replace(request, sort=sort), **more)


class Repeating(MemorySearch):
    """Begins every page at the beginning."""

    async def search(self, index: str, request: Request, **more: Any) -> Page:
        if request.after == b"" or (request.after and len(request.after) == 40):
            return await super().search(index, request, **more)
        return await super().search(index, replace(request, after=None), **more)


class Endless(MemorySearch):
    """Says after the last page that there is another."""

    async def search(self, index: str, request: Request, **more: Any) -> Page:
        page = await super().search(index, request, **more)
        if request.sort and page.after is None and page.hits:
            before = await super().search(index, replace(request, limit=1, after=None), **more)
            return replace(page, after=before.after)
        return page


class Miscounting(MemorySearch):
    """Counts what is on the page."""

    async def search(self, index: str, request: Request, **more: Any) -> Page:
        page = await super().search(index, request, **more)
        return replace(page, total=None if page.total is None else len(page.hits))


class Everything(MemorySearch):
    """Returns fields that were not asked for."""

    async def search(self, index: str, request: Request, **more: Any) -> Page:
        return await super().search(index, replace(request, fields=None), **more)


class Unbiased(MemorySearch):
    """Returns hits in the order of their ids instead of scores."""

    async def search(self, index: str, request: Request, **more: Any) -> Page:
        page = await super().search(index, request, **more)
        return (
            page
            if request.sort
            else replace(page, hits=sorted(page.hits, key=lambda hit: hit.document.id, reverse=True))
        )


class Changed(MemorySearch):
    """An engine that counts wrongly."""

    def change(self, found: Any, asked: Any) -> Any:
        return found

    async def search(self, index: str, request: Request, **more: Any) -> Page:
        page = await super().search(index, request, **more)
        found = {name: self.change(each, request.aggregations[name]) for name, each in page.aggregations.items()}
        return replace(page, aggregations=found)


class Negligent(Changed):
    """Forgets what lies beyond the limit of buckets."""

    def change(self, found: Any, asked: Any) -> Any:
        return replace(found, others=0) if isinstance(found, Buckets) else found


class Shuffled(Changed):
    """Returns buckets of equal size the other way round."""

    def change(self, found: Any, asked: Any) -> Any:
        if not isinstance(found, Buckets):
            return found
        backward = [*reversed(found.buckets)]
        return replace(found, buckets=sorted(backward, key=lambda bucket: -bucket.count))


class Filling(Changed):
    """Returns the empty steps of a histogram too."""

    def change(self, found: Any, asked: Any) -> Any:
        if not isinstance(asked, HistogramBuckets) or len(found.buckets) < 2:
            return found
        first = found.buckets[0]
        return replace(found, buckets=[first, replace(first, key=first.key + asked.width, count=0), *found.buckets[1:]])


class Zero(Changed):
    """Says that the least of nothing is 0."""

    def change(self, found: Any, asked: Any) -> Any:
        return replace(found, least=0.0) if isinstance(found, Totals) and found.least is None else found


class Shallow(Changed):
    """Counts nothing within buckets."""

    def change(self, found: Any, asked: Any) -> Any:
        if not isinstance(found, Buckets):
            return found
        return replace(found, buckets=[replace(bucket, within={}) for bucket in found.buckets])


class Partial(MemorySearch):
    """Counts over the page instead of over all that matches."""

    async def search(self, index: str, request: Request, **more: Any) -> Page:
        page = await super().search(index, request, **more)
        if request.after is None or not any(isinstance(each, Summary) for each in request.aggregations.values()):
            return page
        emptied = {
            name: Totals(count=0) if isinstance(each, Totals) else each for name, each in page.aggregations.items()
        }
        return replace(page, aggregations=emptied)


class Writing(MemorySearch):
    """An engine that makes other actions of those it is given."""

    def change(self, action: Action) -> Action:
        return action

    async def bulk(self, index: str, actions: Sequence[Action], **more: Any) -> list[Outcome]:
        return await super().bulk(index, [self.change(action) for action in actions], **more)


class Careless(Writing):
    """Puts and deletes whatever there is, though it was to be unchanged."""

    def change(self, action: Action) -> Action:
        return replace(action, when=None) if isinstance(action.when, Unchanged) else action


class Overwriting(Writing):
    """Puts what was to be absent."""

    def change(self, action: Action) -> Action:
        return replace(action, when=None) if isinstance(action.when, Absent) else action


class Trimming(Writing):
    """Takes white space off ids."""

    def change(self, action: Action) -> Action:
        return replace(action, id=action.id.strip() or action.id)


class Backward(MemorySearch):
    """Makes actions in any order."""

    async def bulk(self, index: str, actions: Sequence[Action], **more: Any) -> list[Outcome]:
        return (await super().bulk(index, actions[::-1], **more))[::-1]


class Hopeful(MemorySearch):
    """Says that it deleted what was not there."""

    async def bulk(self, index: str, actions: Sequence[Action], **more: Any) -> list[Outcome]:
        outcomes = await super().bulk(index, actions, **more)
        return [replace(each, status=Status.APPLIED) if each.status is Status.MISSING else each for each in outcomes]


class Halfway(MemorySearch):
    """Makes the actions before one that is wrong."""

    async def bulk(self, index: str, actions: Sequence[Action], **more: Any) -> list[Outcome]:
        found: list[Outcome] = []
        for action in actions:
            found += await super().bulk(index, [action], **more)
        return found


class Merging(MemorySearch):
    """Keeps the fields that a put has not."""

    async def bulk(self, index: str, actions: Sequence[Action], **more: Any) -> list[Outcome]:
        merged: list[Action] = []
        for action in actions:
            (known,) = (
                await super().get(index, [action.id]) if len(action.id.encode("utf-8", "replace")) < 99 else [None]
            )
            fields = known.fields if known else {}
            merged.append(replace(action, fields=fields | action.fields) if isinstance(action, Put) else action)
        return await super().bulk(index, merged, **more)


class Lagging(MemorySearch):
    """Gets what was visible, not what is there."""

    async def get(self, index: str, ids: Sequence[str], **more: Any) -> list[Document | None]:
        found = await super().get(index, ids, **more)
        shown = self._index(index).shown()
        return [each if each is None or each.id in shown else None for each in found]


class Idle(MemorySearch):
    """Refreshes nothing."""

    async def refresh(self, index: str, **more: Any) -> None:
        self._index(index)


class Sparing(MemorySearch):
    """Deletes one document less than matches."""

    async def delete_where(self, index: str, query: Query, *, limit: int = 10_000, **more: Any) -> int:
        return await super().delete_where(index, query, limit=max(1, min(limit, 10_000) - 1), **more)


class Hidden(MemorySearch):
    """Deletes without showing it."""

    async def delete_where(self, index: str, query: Query, *, limit: int = 10_000, **more: Any) -> int:
        await self.refresh(index)
        shown = dict(self._index(index).shown())
        count = await super().delete_where(index, query, limit=limit, **more)
        self._index(index)._shown = shown
        return count


class Agreeable(MemorySearch):
    """Makes an index anew with other fields."""

    async def create_index(self, spec: IndexSpec) -> None:
        known = self._indexes.get(spec.name)
        if known is not None and known.spec != spec:
            del self._indexes[spec.name]
        await super().create_index(spec)


class Dangling(MemorySearch):
    """Leaves the aliases of an index that is dropped."""

    async def drop_index(self, name: str) -> None:
        aliases = dict(self._aliases)
        await super().drop_index(name)
        self._aliases = aliases


class Stubborn(MemorySearch):
    """Leaves an alias where it points."""

    async def point(self, alias: str, index: str | None) -> None:
        known = self._aliases.get(alias)
        await super().point(alias, index)
        if known is not None and index is not None:
            self._aliases[alias] = known


class Farthest(MemorySearch):
    """Returns the least alike first."""

    async def nearest(self, index: str, request: Nearest, **more: Any) -> list[Hit]:
        return (await super().nearest(index, request, **more))[::-1]


class Filtering(MemorySearch):
    """Compares the nearest of all, and then leaves out what does not match."""

    async def nearest(self, index: str, request: Nearest, **more: Any) -> list[Hit]:
        every = await super().nearest(index, replace(request, where=None), **more)
        some = {hit.document.id for hit in await super().nearest(index, replace(request, limit=1_000), **more)}
        return [hit for hit in every if hit.document.id in some]


class Unscaled(MemorySearch):
    """Scores by a number of its own."""

    async def nearest(self, index: str, request: Nearest, **more: Any) -> list[Hit]:
        hits = await super().nearest(index, request, **more)
        return [Hit(hit.document, (hit.score or 0.0) / 2) for hit in hits]


class Timeless(MemorySearch):
    """Knows no deadline."""

    def _index(self, name: str, deadline_ns: int | None = None) -> Any:
        return super()._index(name)


class Undead(MemorySearch):
    """Answers after it was stopped."""

    def _check_open(self) -> None:
        pass


class Mutant(NamedTuple):
    """A mistake, and a word in the name of the tests that must see it."""

    engine: type[MemorySearch]
    seen_by: str


MUTANTS = (
    Mutant(Inclusive, "a_query_finds"),
    Mutant(Generous, "a_query_finds"),
    Mutant(Loose, "a_query_finds"),
    Mutant(Whole, "a_query_finds"),
    Mutant(Optional, "a_query_finds"),
    Mutant(Strict, "a_query_finds"),
    Mutant(Agreeing, "a_query_finds"),
    Mutant(Flat, "query_of_objects"),
    Mutant(Unsorted, "documents_come_by"),
    Mutant(Upward, "documents_come_by"),
    Mutant(Repeating, "pages_of_any_size"),
    Mutant(Endless, "pages_of_any_size"),
    Mutant(Miscounting, "pages_of_any_size"),
    Mutant(Everything, "fields_that_were_asked_for"),
    Mutant(Unbiased, "best_come_first"),
    Mutant(Negligent, "rest_is_counted"),
    Mutant(Shuffled, "keywords_come_by"),
    Mutant(Filling, "histogram"),
    Mutant(Zero, "sum_of_nothing"),
    Mutant(Shallow, "within_them"),
    Mutant(Partial, "same_on_every_page"),
    Mutant(Careless, "unchanged"),
    Mutant(Overwriting, "absent"),
    Mutant(Trimming, "an_id_may_be"),
    Mutant(Backward, "in_their_order"),
    Mutant(Hopeful, "outcome_of_its_own"),
    Mutant(Halfway, "wrong_document"),
    Mutant(Merging, "replaces_all"),
    Mutant(Lagging, "got_at_once"),
    Mutant(Idle, "visible_after_a_refresh"),
    Mutant(Sparing, "no_more_is_deleted"),
    Mutant(Hidden, "what_matches_is_deleted"),
    Mutant(Agreeable, "does_not_change_its_fields"),
    Mutant(Dangling, "goes_with_its_index"),
    Mutant(Stubborn, "points_elsewhere"),
    Mutant(Farthest, "most_alike"),
    Mutant(Filtering, "most_alike"),
    Mutant(Unscaled, "most_alike"),
    Mutant(Timeless, "deadline"),
    Mutant(Undead, "stopped"),
)

REQUESTS = (Inclusive, Generous, Loose, Whole, Optional, Strict, Agreeing, Unsorted, Upward, Repeating, Miscounting)
"""The mistakes that random requests must see by themselves."""

HISTORY = (Careless, Overwriting, Backward, Hopeful)
"""The mistakes that random histories must see by themselves."""


class Run(Examination):
    """A run of the suite over one engine."""

    def __init__(self, engine: Callable[[VirtualEnvironment], MemorySearch]) -> None:
        super().__init__()
        self._engine = engine

    @pytest.fixture
    def engine(self) -> Callable[[VirtualEnvironment], MemorySearch]:
        return self._engine


def failures(engine: type[MemorySearch], part: str) -> Run:
    """The tests whose names have `part`, run over the engine."""
    run = Run(engine)
    run.run(SUBJECT, "-k", part)
    return run
