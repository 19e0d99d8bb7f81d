"""The search port on a cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar, TypeVarTuple

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import AlreadyExists, NotFound
from soundstage.core.time import NS_PER_S
from soundstage.engines.search import refusals, tokens
from soundstage.engines.search.checks import check_deletion, check_nearest, check_request
from soundstage.engines.search.counting import check_results
from soundstage.engines.search.documents import check_ids, fitting
from soundstage.engines.search.opensearch import answers, failures
from soundstage.engines.search.opensearch.answers import Searched, read
from soundstage.engines.search.opensearch.asking import Asking
from soundstage.engines.search.opensearch.hits import Found, likeness_of, sort_of, sort_values
from soundstage.engines.search.opensearch.link import AnswerTooLarge, Link
from soundstage.engines.search.opensearch.mapping import SPACES, has_objects, settings, spec_of
from soundstage.engines.search.opensearch.options import OpenSearchAddress
from soundstage.engines.search.opensearch.outcomes import BARRED, outcomes_of
from soundstage.engines.search.opensearch.writing import Writer
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
)
from soundstage.engines.search.queries import Query, Result, Sort
from soundstage.engines.search.specs import check_name, check_spec

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_encode = msgspec.json.Encoder().encode


class _Known(NamedTuple):
    """What a name stood for when it was last asked: an index there, and its fields."""

    place: str
    spec: IndexSpec
    writer: Writer
    asking: Asking
    at_ns: int


class OpenSearchSearch:
    """Indexes that other processes see too. Which index a name stands for is asked again after a second."""

    def __init__(self, address: OpenSearchAddress, environment: Environment) -> None:
        self.capabilities: frozenset[SearchCapability] = frozenset(SearchCapability)
        self._address = address
        self._environment = environment
        self._prefix = f"{address.space}-"
        self._link: Link | None = None
        self._known: dict[str, _Known] = {}

    async def start(self) -> None:
        link = Link(self._address, self._environment)
        try:
            read(await link.ask("GET", "/"), answers.Done)
        except BaseException:
            await link.close()
            raise
        self._link = link

    async def stop(self) -> None:
        link, self._link = self._link, None
        self._known.clear()
        if link is not None:
            await link.close()

    @property
    def lost(self) -> str | None:
        """Why the cluster cannot be reached, None while it can."""
        return None if self._link is None else self._link.lost

    async def server_version(self) -> str:
        """What the cluster says it is."""
        said = read(await self._open().ask("GET", "/"), answers.Cluster).version
        return f"{said.distribution} {said.number}"

    async def create_index(self, spec: IndexSpec) -> None:
        link = self._open()
        check_spec(spec, self.capabilities)
        known = await self._look(spec.name, None)
        if known is None:
            if len(await self.indexes()) >= INDEXES_MAX:
                raise refusals.too_many("indexes in an engine", INDEXES_MAX, "name")
            body = _encode(settings(spec, self._address.options))
            # Another may be quicker, or an attempt whose answer was lost.
            with suppress(AlreadyExists):
                read(await link.change("PUT", f"/{self._prefix}{spec.name}", body), answers.Done)
            known = await self._look(spec.name, None)
        if known is None or known.place != f"{self._prefix}{spec.name}":
            raise refusals.name_taken(spec.name, "an alias")
        if known.spec != spec:
            raise refusals.other_fields(spec)

    async def drop_index(self, name: str) -> None:
        link = self._open()
        check_name(name)
        known = await self._look(name, None)
        if known is None:
            return
        if known.place != f"{self._prefix}{name}":
            raise refusals.is_alias(name)
        self._known.clear()
        with suppress(NotFound):
            read(await link.ask("DELETE", f"/{known.place}"), answers.Done)
        self._known.clear()

    async def indexes(self) -> list[IndexInfo]:
        link = self._open()
        everywhere = f"/{self._prefix}*"
        mappings = read(await link.ask("GET", f"{everywhere}/_mapping"), dict[str, answers.Mapped])
        aliases = read(await link.ask("GET", f"{everywhere}/_alias"), dict[str, answers.Aliased])
        found: list[IndexInfo] = []
        for name in sorted(mappings):
            spec = spec_of(mappings[name].mappings)
            if spec is not None:
                known = aliases[name].aliases if name in aliases else {}
                named = sorted(alias.removeprefix(self._prefix) for alias in known)
                found.append(IndexInfo(spec=spec, aliases=named))
        return sorted(found, key=lambda info: info.spec.name)

    async def point(self, alias: str, index: str | None) -> None:
        link = self._open()
        check_name(alias, "alias")
        there = f"{self._prefix}{alias}"
        standing = await self._look(alias, None)
        if standing is not None and standing.place == there:
            raise refusals.name_taken(alias, "an index")
        if index is None and standing is None:
            return
        actions: list[dict[str, Any]] = []
        if standing is not None:
            actions.append({"remove": {"index": f"{self._prefix}*", "alias": there}})
        if index is not None:
            actions.append({"add": {"index": (await self._index(index, None)).place, "alias": there}})
        read(await link.change("POST", "/_aliases", _encode({"actions": actions})), answers.Done)
        self._known.pop(alias, None)

    async def bulk(self, index: str, actions: Sequence[Action], *, deadline_ns: int | None = None) -> list[Outcome]:
        return await self._named(self._bulk, index, deadline_ns, actions)

    async def get(self, index: str, ids: Sequence[str], *, deadline_ns: int | None = None) -> list[Document | None]:
        return await self._named(self._get, index, deadline_ns, ids)

    async def search(self, index: str, request: Request, *, deadline_ns: int | None = None) -> Page:
        return await self._named(self._page, index, deadline_ns, request)

    async def nearest(self, index: str, request: Nearest, *, deadline_ns: int | None = None) -> list[Hit]:
        return await self._named(self._nearest, index, deadline_ns, request)

    async def refresh(self, index: str, *, deadline_ns: int | None = None) -> None:
        await self._named(self._refresh, index, deadline_ns)

    async def delete_where(
        self, index: str, query: Query, *, limit: int = DELETE_MAX, deadline_ns: int | None = None
    ) -> int:
        return await self._named(self._delete_where, index, deadline_ns, query, limit)

    async def _bulk(self, known: _Known, deadline_ns: int | None, actions: Sequence[Action]) -> list[Outcome]:
        body, barred = known.writer.written(actions)
        outcomes: list[Outcome] = []
        if body:
            path = f"/{known.place}/_bulk"
            answer = await self._open().change("POST", path, body, lines=True, deadline_ns=deadline_ns)
            outcomes = outcomes_of(read(answer, answers.Bulk), len(actions) - len(barred))
        if barred:
            others = iter(outcomes)
            here = frozenset(barred)
            return [BARRED if place in here else next(others) for place in range(len(actions))]
        return outcomes

    async def _get(self, known: _Known, deadline_ns: int | None, ids: Sequence[str]) -> list[Document | None]:
        check_ids(ids)
        if not ids:
            return []
        body = _encode({"ids": list(dict.fromkeys(ids))})
        answer = await self._open().ask("POST", f"/{known.place}/_mget", body, deadline_ns=deadline_ns)
        docs = read(answer, answers.Documents).docs
        for each in docs:
            if each.error:
                # Whether it is there is not known: its shard did not answer, or its index is gone.
                raise failures.meaning(503, failures.cause_in(each.error))
        found = {each.id: Found.of(each) for each in docs if each.found}
        return [None if id not in found else found[id].shown(known.spec) for id in ids]

    async def _nearest(self, known: _Known, deadline_ns: int | None, request: Nearest) -> list[Hit]:
        asked = check_nearest(known.spec, request)
        similarity = known.spec.fields[asked.field].similarity
        where = None if asked.where is None else known.asking.query(asked.where)
        query = _approximate(asked, where) if asked.approximate else _exact(asked, where, SPACES[similarity])
        body = {"query": query, "size": asked.limit, "track_total_hits": False, **_returned(known.spec, asked.fields)}
        answer = await self._searched(known, body, deadline_ns)
        hits: list[Hit] = []
        for each in answer.hits.hits:
            if each.score is None:
                raise failures.no_answer("a hit has no score")
            hits.append(Hit(Found.of(each).shown(known.spec, asked.fields), likeness_of(similarity, each.score)))
        return hits

    async def _refresh(self, known: _Known, deadline_ns: int | None) -> None:
        answer = await self._open().ask("POST", f"/{known.place}/_refresh", deadline_ns=deadline_ns)
        read(answer, answers.Done)

    async def _delete_where(self, known: _Known, deadline_ns: int | None, query: Query, limit: int) -> int:
        asked = check_deletion(known.spec, query, limit)
        await self._refresh(known, deadline_ns)
        path = f"/{known.place}/_delete_by_query?conflicts=proceed&refresh=true&max_docs={limit}"
        body = _encode({"query": known.asking.query(asked)})
        answer = await self._open().change("POST", path, body, deadline_ns=deadline_ns)
        return read(answer, answers.Deleted).deleted

    async def _page(self, known: _Known, deadline_ns: int | None, request: Request) -> Page:
        asked = check_request(known.spec, request)
        body: dict[str, Any] = {
            "query": known.asking.query(asked.query),
            "track_total_hits": asked.count,
            **_returned(known.spec, asked.fields, asked.sort),
        }
        if asked.aggregations:
            body["aggs"] = known.asking.aggregations(asked.aggregations)
        skipped = 0
        begin: tokens.Position | None = None
        if asked.sort:
            begin = tokens.position(asked, known.spec)
            body["sort"] = sort_of(asked.sort, known.spec)
            if begin is not None:
                body["search_after"] = sort_values(asked.sort, known.spec, begin)
        else:
            skipped = tokens.passed(asked)
            body["from"] = skipped
        most = asked.limit if asked.sort else min(asked.limit, SCORED_MAX_HITS - skipped)
        if most <= 0:
            body.pop("from", None)
        spare = int(bool(most) and (bool(asked.sort) or skipped + most < SCORED_MAX_HITS))
        found, cut = await self._some(known, body, max(0, most) + spare, deadline_ns)
        every = [Found.of(each) for each in found.hits.hits]
        taken = fitting(every[: max(0, most)], Found.size)
        results = _results(known.asking, asked, found)
        after = None
        if taken and (len(taken) < len(every) or cut):
            last = taken[-1]
            after = (
                tokens.sorted_token(asked, last.position(asked.sort))
                if asked.sort
                else tokens.scored_token(asked, skipped + len(taken))
            )
        hits = [Hit(each.shown(known.spec, asked.fields), None if asked.sort else each.score) for each in taken]
        total = found.hits.total.value if asked.count else None
        return Page(hits=hits, total=total, after=after, aggregations=results)

    async def _some(
        self, known: _Known, body: Mapping[str, Any], size: int, deadline_ns: int | None
    ) -> tuple[Searched, bool]:
        """The answer with up to `size` hits; whether it has the first of them only, as all would be too many bytes."""
        asked = size
        while True:
            try:
                return await self._searched(known, {**body, "size": asked}, deadline_ns), asked < size
            except AnswerTooLarge:
                if asked <= 1:
                    raise
                asked //= 2

    async def _searched(self, known: _Known, body: Mapping[str, Any], deadline_ns: int | None) -> Searched:
        path = f"/{known.place}/_search?allow_partial_search_results=false"
        found = read(await self._open().ask("POST", path, _encode(body), deadline_ns=deadline_ns), Searched)
        if found.timed_out or found.shards.failures:
            why = found.shards.failures or "it took too long"
            raise failures.meaning(503, failures.Cause(reason=f"not all shards answered: {why}"))
        return found

    async def _named(
        self,
        call: Callable[[_Known, int | None, *Ts], Awaitable[T]],
        name: str,
        deadline_ns: int | None,
        *args: *Ts,
    ) -> T:
        """What `call` makes of the index that the name stands for."""
        try:
            return await call(await self._index(name, deadline_ns), deadline_ns, *args)
        except NotFound:
            # An alias may have been pointed elsewhere since, and the index that it stood for dropped.
            self._known.pop(name, None)
        known = await self._index(name, deadline_ns)
        try:
            return await call(known, deadline_ns, *args)
        except NotFound:
            raise refusals.no_index(name) from None

    async def _index(self, name: str, deadline_ns: int | None) -> _Known:
        self._open()
        if deadline_ns is not None and self._environment.monotonic_ns() >= deadline_ns:
            raise refusals.deadline_passed()
        known = self._known.get(name)
        if known is None or self._environment.monotonic_ns() - known.at_ns >= VISIBLE_WITHIN_S * NS_PER_S:
            check_name(name, "index")
            known = await self._look(name, deadline_ns)
        if known is None:
            raise refusals.no_index(name)
        return known

    async def _look(self, name: str, deadline_ns: int | None) -> _Known | None:
        """What the name stands for now, if anything."""
        at_ns = self._environment.monotonic_ns()
        before = self._known.pop(name, None)
        try:
            answer = await self._open().ask("GET", f"/{self._prefix}{name}/_mapping", deadline_ns=deadline_ns)
            mappings = read(answer, dict[str, answers.Mapped])
        except NotFound:
            return None
        index, mapping = next(iter(mappings.items()), ("", answers.Mapped()))
        spec = spec_of(mapping.mappings)
        if spec is None:
            return None
        # Making a writer takes long, and fields never change.
        writer = before.writer if before is not None and before.spec == spec else Writer(spec)
        known = _Known(index, spec, writer, Asking(spec.fields), at_ns)
        if len(self._known) >= 2 * INDEXES_MAX:
            self._known.clear()
        self._known[name] = known
        return known

    def _open(self) -> Link:
        if self._link is None:
            raise refusals.stopped()
        return self._link


def _results(asking: Asking, asked: Request, found: Searched) -> dict[str, Result]:
    """What was counted. Raises `TooLarge` for too much of it."""
    try:
        results = asking.results(asked.aggregations, found.aggregations)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise failures.no_answer(repr(error)) from error
    check_results(results)
    return results


def _exact(asked: Nearest, where: Any, space: str) -> dict[str, Any]:
    some = [{"exists": {"field": asked.field}}, *([] if where is None else [where])]
    params = {"field": asked.field, "query_value": list(asked.vector), "space_type": space}
    script = {"lang": "knn", "source": "knn_score", "params": params}
    return {"script_score": {"query": {"bool": {"filter": some}}, "script": script}}


def _approximate(asked: Nearest, where: Any) -> dict[str, Any]:
    said = {"vector": list(asked.vector), "k": asked.limit}
    return {"knn": {asked.field: said if where is None else {**said, "filter": where}}}


def _returned(spec: IndexSpec, fields: Sequence[str] | None, sorts: Sequence[Sort] = ()) -> dict[str, Any]:
    """What comes with a document: the fields that were asked for, and those that say where the next page begins."""
    names = None if fields is None else [*fields, *(sort.field for sort in sorts)]
    whole = names is None or (names and has_objects(spec))
    return {"seq_no_primary_term": True, "_source": True if whole else names or False}
