"""One index, open: changed by one thread in groups, read by several."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tantivy import IndexWriter, Searcher
from tantivy import Query as Asked

from soundstage.engines.search import tokens
from soundstage.engines.search.counting import check_results
from soundstage.engines.search.documents import Prepared, chosen, fitting, prevented
from soundstage.engines.search.port import (
    SCORED_MAX_HITS,
    Document,
    Hit,
    IndexSpec,
    Kind,
    Nearest,
    Outcome,
    Page,
    Request,
    Status,
)
from soundstage.engines.search.queries import Query
from soundstage.engines.search.tantivy.asking import Asking, both, counted
from soundstage.engines.search.tantivy.counts import Counting
from soundstage.engines.search.tantivy.layout import ID, REVISION, document, opened, term
from soundstage.engines.search.tantivy.sorting import Found, Sorting, read
from soundstage.engines.search.tantivy.vectors import Vectors


class Kept(NamedTuple):
    """A document with its revision."""

    found: Found
    revision: int

    def shown(self, names: Sequence[str] | None = None) -> Document:
        """As callers see it, with the fields of these names."""
        return Document(self.found.id, chosen(self.found.body, names), str(self.revision))


class OpenIndex:
    """Blocking, for threads."""

    def __init__(self, folder: Path, spec: IndexSpec, memory: int, *, new: bool = False) -> None:
        self.spec = spec
        self._memory = memory
        self._index = opened(str(folder), spec, new=new)
        self._asking = Asking(self._index, spec)
        self._kinds = {name: field.kind for name, field in spec.fields.items()}
        self._writer: IndexWriter | None = None
        self._last = 0
        self._vectors = {
            name: Vectors(folder / f"vectors-{name}", field)
            for name, field in spec.fields.items()
            if field.kind is Kind.VECTOR
        }
        self._index.reload()
        searcher = self._index.searcher()
        for name, vectors in self._vectors.items():
            hits = searcher.search(self._asking.having(name), max(1, searcher.num_docs), count=False).hits
            live = searcher.fast_field_values(REVISION, [address for _, address in hits])
            vectors.load(np.array(live, np.uint64))

    def apply(self, calls: Sequence[Sequence[Prepared]]) -> list[list[Outcome]]:
        """What became of the actions of each call: all that were applied are on disk, and visible."""
        writer = self._opened_writer()
        group = _Group(self._index.searcher(), self._asking, self._last)
        outcomes = [[group.outcome(action) for action in actions] for actions in calls]
        try:
            for name, vectors in self._vectors.items():
                rows = [(number, fields[name]) for number, fields in group.puts() if name in fields]
                if rows:
                    vectors.append(rows)
            for id, change in group.changes.items():
                if id not in group.new:
                    writer.delete_documents_by_term(ID, term(id))
                if change is not None:
                    action, revision = change
                    made = document(id, action.fields or {}, action.body, revision, self.spec.fields)
                    writer.add_document(made)
            if group.changes:
                self._commit(writer, group.last)
        except BaseException:
            self._abandon()
            raise
        return outcomes

    def delete_where(self, query: Query, limit: int) -> int:
        """How many documents were deleted, on disk and visibly."""
        writer = self._opened_writer()
        searcher = self._index.searcher()
        hits = searcher.search(self._asking.query(query), limit, count=False).hits
        try:
            for _, address in hits:
                writer.delete_documents_by_term(ID, term(read(searcher, address).id))
            if hits:
                self._commit(writer, self._last + len(hits))
        except BaseException:
            self._abandon()
            raise
        return len(hits)

    def get(self, ids: Sequence[str]) -> list[Document | None]:
        """The documents of these ids."""
        searcher = self._index.searcher()
        return [None if (kept := _kept(searcher, self._asking, id)) is None else kept.shown() for id in ids]

    def search(self, asked: Request) -> Page:
        """A page of a request that was checked."""
        searcher = self._index.searcher()
        query = self._asking.query(asked.query)
        results = Counting(searcher, self._asking, self._kinds).results(query, asked.aggregations)
        check_results(results)
        paged = self._sorted if asked.sort else self._scored
        hits, after = paged(searcher, query, asked)
        total = counted(searcher, query) if asked.count else None
        return Page(hits=hits, total=total, after=after, aggregations=results)

    def nearest(self, asked: Nearest) -> list[Hit]:
        """The most alike of those that have the vector and match."""
        searcher = self._index.searcher()
        query = self._asking.having(asked.field)
        if asked.where is not None:
            query = both(query, self._asking.query(asked.where))
        hits = searcher.search(query, max(1, searcher.num_docs), count=False).hits
        addresses = [address for _, address in hits]
        revisions = [int(each or 0) for each in searcher.fast_field_values(REVISION, addresses)]
        ranked = self._vectors[asked.field].nearest(revisions, asked.vector, asked.limit)
        return [
            Hit(Kept(read(searcher, addresses[place]), revisions[place]).shown(asked.fields), score)
            for place, score in ranked
        ]

    def close(self) -> None:
        """Nothing of it is left open."""
        writer, self._writer = self._writer, None
        if writer is not None:
            # What was not committed is nobody's; merges that are under way may end.
            writer.wait_merging_threads()

    def _sorted(self, searcher: Searcher, query: Asked, asked: Request) -> tuple[list[Hit], bytes | None]:
        begin = tokens.position(asked, self.spec)
        if not asked.limit:
            return [], None
        sorting = Sorting(searcher, self._asking, self.spec, asked.sort)
        found = sorting.page(query, begin, asked.limit + 1)
        taken = fitting([each for _, each in found[: asked.limit]], Found.size)
        after = tokens.sorted_token(asked, found[len(taken) - 1][0]) if len(taken) < len(found) else None
        return self._hits(searcher, asked, taken, [None] * len(taken)), after

    def _scored(self, searcher: Searcher, query: Asked, asked: Request) -> tuple[list[Hit], bytes | None]:
        begin = tokens.passed(asked)
        limit = min(asked.limit, SCORED_MAX_HITS - begin)
        if limit <= 0:
            return [], None
        more = int(begin + limit < SCORED_MAX_HITS)
        hits = searcher.search(query, limit + more, count=False, offset=begin).hits
        taken = fitting([read(searcher, address) for _, address in hits[:limit]], Found.size)
        end = begin + len(taken)
        after = tokens.scored_token(asked, end) if len(taken) < len(hits) else None
        return self._hits(searcher, asked, taken, [float(score) for score, _ in hits[: len(taken)]]), after

    def _hits(
        self, searcher: Searcher, asked: Request, taken: Sequence[Found], scores: Sequence[float | None]
    ) -> list[Hit]:
        revisions = searcher.fast_field_values(REVISION, [each.address for each in taken])
        return [
            Hit(Kept(each, int(revision or 0)).shown(asked.fields), score)
            for each, revision, score in zip(taken, revisions, scores, strict=True)
        ]

    def _opened_writer(self) -> IndexWriter:
        if self._writer is None:
            self._writer = self._index.writer(self._memory, 1)
            # Every action takes at least one of the numbers that Tantivy counts its steps with, and keeps: what comes
            # behind the last commit's is new, whatever became of revisions that were given since.
            self._last = max(self._last, self._writer.commit_opstamp)
        return self._writer

    def _commit(self, writer: IndexWriter, last: int) -> None:
        self._last = max(last, writer.commit())
        self._index.reload()

    def _abandon(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(Exception):
                writer.rollback()
            with suppress(Exception):
                writer.wait_merging_threads()


class _Group:
    """The changes of several calls, before they are made: the last one of each id counts."""

    def __init__(self, searcher: Searcher, asking: Asking, last: int) -> None:
        self.changes: dict[str, tuple[Prepared, int] | None] = {}
        self.new: set[str] = set()
        """Ids of which no document was ever written, as far as is kept: there is none to delete."""
        self.last = last
        self._searcher = searcher
        self._asking = asking

    def outcome(self, action: Prepared) -> Outcome:
        """What becomes of an action after those before it."""
        if action.when is not None or action.fields is None:
            revision = self._revision(action.id)
            outcome = prevented(action, None if revision is None else str(revision))
            if outcome is not None:
                return outcome
        self.last += 1
        if action.fields is None:
            self.changes[action.id] = None
            return Outcome(Status.APPLIED)
        self.changes[action.id] = action, self.last
        return Outcome(Status.APPLIED, str(self.last))

    def puts(self) -> list[tuple[int, dict[str, Any]]]:
        """The revisions of the documents that are put, in their order, and their fields."""
        put = [(change[1], change[0].fields or {}) for change in self.changes.values() if change is not None]
        return sorted(put, key=lambda each: each[0])

    def _revision(self, id: str) -> int | None:
        if id in self.changes:
            change = self.changes[id]
            return None if change is None else change[1]
        if not self._searcher.doc_freq(ID, term(id)):
            self.new.add(id)
            return None
        kept = _kept(self._searcher, self._asking, id)
        return None if kept is None else kept.revision


def _kept(searcher: Searcher, asking: Asking, id: str) -> Kept | None:
    hits = searcher.search(asking.id(id), 1, count=False).hits
    if not hits:
        return None
    address = hits[0][1]
    (revision,) = searcher.fast_field_values(REVISION, [address])
    return Kept(read(searcher, address), int(revision or 0))
