"""The search port in memory: the specification that other engines are compared with, and an engine for tests.

Every question is answered by looking at every document. What was written is visible no sooner than the port promises,
so that a program that forgets to refresh is found out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cmp_to_key
from typing import Any, NamedTuple

from soundstage.core.environment import Environment
from soundstage.core.time import NS_PER_S
from soundstage.engines.search import documents, refusals, tokens
from soundstage.engines.search.checks import check_deletion, check_nearest, check_request
from soundstage.engines.search.counting import check_results
from soundstage.engines.search.documents import Prepared, check_ids, fitting, prepare, prevented
from soundstage.engines.search.evaluation import (
    Analysed,
    Collection,
    aggregate,
    compare,
    likeness,
    matches,
    position_of,
)
from soundstage.engines.search.port import (
    DELETE_MAX,
    INDEXES_MAX,
    SCORED_MAX_HITS,
    VISIBLE_WITHIN_S,
    Action,
    Document,
    Hit,
    IndexInfo,
    IndexSpec,
    Nearest,
    Outcome,
    Page,
    Request,
    SearchCapability,
    Status,
)
from soundstage.engines.search.queries import Query
from soundstage.engines.search.specs import check_name, check_spec
from soundstage.engines.search.tokens import Position


class _Kept(NamedTuple):
    document: Analysed
    revision: str
    body: bytes

    def shown(self, names: Sequence[str] | None = None) -> Document:
        """A copy of the document with the fields of these names."""
        return Document(self.document.id, documents.chosen(self.body, names), self.revision)

    def size(self) -> int:
        return len(self.body)


class _Index:
    """One index: its documents as they are, and as they are shown."""

    def __init__(self, spec: IndexSpec, environment: Environment) -> None:
        self.spec = spec
        self.kept: dict[str, _Kept] = {}
        self._environment = environment
        self._shown: dict[str, _Kept] = {}
        self._changed_ns: int | None = None
        self._changes = 0

    def change(self, action: Prepared) -> Outcome:
        """The action is made if its condition holds."""
        known = self.kept.get(action.id)
        if (outcome := prevented(action, None if known is None else known.revision)) is not None:
            return outcome
        if self._changed_ns is None:
            self._changed_ns = self._environment.monotonic_ns()
        if action.fields is None:
            del self.kept[action.id]
            return Outcome(Status.APPLIED)
        self._changes += 1
        revision = str(self._changes)
        analysed = Analysed(action.id, action.fields, self.spec.fields)
        self.kept[action.id] = _Kept(analysed, revision, action.body)
        return Outcome(Status.APPLIED, revision)

    def refresh(self) -> None:
        """What is kept is shown."""
        self._shown = dict(self.kept)
        self._changed_ns = None

    def shown(self) -> dict[str, _Kept]:
        """The documents that searches see, by id."""
        if self._changed_ns is not None:
            waited_ns = self._environment.monotonic_ns() - self._changed_ns
            if waited_ns >= VISIBLE_WITHIN_S * NS_PER_S:
                self.refresh()
        return self._shown


class MemorySearch:
    """Indexes of this process, gone when it stops. Nothing is waited for, so no call is ever out of time."""

    def __init__(self, environment: Environment) -> None:
        self.capabilities: frozenset[SearchCapability] = frozenset({SearchCapability.NESTED, SearchCapability.VECTORS})
        self._environment = environment
        self._indexes: dict[str, _Index] = {}
        self._aliases: dict[str, str] = {}
        self._open = False

    async def start(self) -> None:
        self._open = True

    async def stop(self) -> None:
        self._open = False
        self._indexes.clear()
        self._aliases.clear()

    async def create_index(self, spec: IndexSpec) -> None:
        self._check_open()
        check_spec(spec, self.capabilities)
        if spec.name in self._aliases:
            raise refusals.name_taken(spec.name, "an alias")
        known = self._indexes.get(spec.name)
        if known is not None and known.spec != spec:
            raise refusals.other_fields(spec)
        if known is None and len(self._indexes) >= INDEXES_MAX:
            raise refusals.too_many("indexes in an engine", INDEXES_MAX, "name")
        self._indexes.setdefault(spec.name, _Index(spec, self._environment))

    async def drop_index(self, name: str) -> None:
        self._check_open()
        check_name(name)
        if name in self._aliases:
            raise refusals.is_alias(name)
        self._indexes.pop(name, None)
        self._aliases = {alias: index for alias, index in self._aliases.items() if index != name}

    async def indexes(self) -> list[IndexInfo]:
        self._check_open()
        return [
            IndexInfo(
                spec=self._indexes[name].spec,
                aliases=sorted(alias for alias, index in self._aliases.items() if index == name),
            )
            for name in sorted(self._indexes)
        ]

    async def point(self, alias: str, index: str | None) -> None:
        self._check_open()
        check_name(alias, "alias")
        if alias in self._indexes:
            raise refusals.name_taken(alias, "an index")
        if index is None:
            self._aliases.pop(alias, None)
        else:
            self._aliases[alias] = self._index(index).spec.name

    async def bulk(self, index: str, actions: Sequence[Action], *, deadline_ns: int | None = None) -> list[Outcome]:
        found = self._index(index, deadline_ns)
        return [found.change(action) for action in prepare(found.spec, actions)]

    async def get(self, index: str, ids: Sequence[str], *, deadline_ns: int | None = None) -> list[Document | None]:
        found = self._index(index, deadline_ns)
        check_ids(ids)
        return [None if (kept := found.kept.get(id)) is None else kept.shown() for id in ids]

    async def search(self, index: str, request: Request, *, deadline_ns: int | None = None) -> Page:
        found = self._index(index, deadline_ns)
        asked = check_request(found.spec, request)
        shown = found.shown()
        matching = [each.document for each in shown.values() if matches(asked.query, each.document)]
        results = aggregate(asked.aggregations, matching)
        check_results(results)
        paged = _sorted if asked.sort else _scored
        hits, after = paged(found, shown, asked, matching)
        return Page(hits=hits, total=len(matching) if asked.count else None, after=after, aggregations=results)

    async def nearest(self, index: str, request: Nearest, *, deadline_ns: int | None = None) -> list[Hit]:
        found = self._index(index, deadline_ns)
        asked = check_nearest(found.spec, request)
        similarity = found.spec.fields[asked.field].similarity
        shown = found.shown()
        rated = [
            (likeness(similarity, asked.vector, vector), id)
            for id, each in shown.items()
            if (vector := each.document.fields.get(asked.field)) is not None
            and (asked.where is None or matches(asked.where, each.document))
        ]
        rated.sort(key=lambda each: (-each[0], each[1]))
        return [Hit(shown[id].shown(asked.fields), score) for score, id in rated[: asked.limit]]

    async def refresh(self, index: str, *, deadline_ns: int | None = None) -> None:
        self._index(index, deadline_ns).refresh()

    async def delete_where(
        self, index: str, query: Query, *, limit: int = DELETE_MAX, deadline_ns: int | None = None
    ) -> int:
        found = self._index(index, deadline_ns)
        asked = check_deletion(found.spec, query, limit)
        gone = [id for id, each in found.kept.items() if matches(asked, each.document)][:limit]
        for id in gone:
            del found.kept[id]
        found.refresh()
        return len(gone)

    def _index(self, name: str, deadline_ns: int | None = None) -> _Index:
        self._check_open()
        if deadline_ns is not None and self._environment.monotonic_ns() >= deadline_ns:
            raise refusals.deadline_passed()
        found = self._indexes.get(self._aliases.get(name, name))
        if found is None:
            check_name(name, "index")
            raise refusals.no_index(name)
        return found

    def _check_open(self) -> None:
        if not self._open:
            raise refusals.stopped()


def _sorted(
    index: _Index, shown: dict[str, _Kept], asked: Request, matching: list[Analysed]
) -> tuple[list[Hit], bytes | None]:
    begin = tokens.position(asked, index.spec)

    def ordered(one: Position, other: Position) -> int:
        return compare(one, other, asked.sort)

    places = [position_of(each, asked.sort) for each in matching]
    following = [each for each in places if begin is None or compare(each, begin, asked.sort) > 0]
    following.sort(key=cmp_to_key(ordered))
    taken = fitting([shown[id] for _, id in following[: asked.limit]], _Kept.size)
    more = bool(taken) and len(taken) < len(following)
    after = tokens.sorted_token(asked, following[len(taken) - 1]) if more else None
    return [Hit(each.shown(asked.fields)) for each in taken], after


def _scored(
    index: _Index, shown: dict[str, _Kept], asked: Request, matching: list[Analysed]
) -> tuple[list[Hit], bytes | None]:
    begin = tokens.passed(asked)
    collection = Collection([each.document for each in shown.values()])
    scores: dict[str, Any] = {each.id: collection.score(asked.query, each) for each in matching}
    ranked = sorted(scores, key=lambda id: (-scores[id], id))[:SCORED_MAX_HITS]
    taken = fitting([shown[id] for id in ranked[begin : begin + asked.limit]], _Kept.size)
    end = begin + len(taken)
    after = tokens.scored_token(asked, end) if taken and end < len(ranked) else None
    return [Hit(each.shown(asked.fields), scores[each.document.id]) for each in taken], after
