"""Where a walk goes on, inside a page token."""

from __future__ import annotations

import pytest
from tests.data.kv.conftest import between, item, make

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.pages import KeyRing, PageTokens
from soundstage.data.kv.api import GetItems, ScanItems, Selection
from soundstage.data.kv.cursors import Cursor, seal, unseal
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

CURSOR = Cursor(3, b"resume", 7, 99.5)
GET = GetItems(namespace="people", id="ada")
DAY_S = 86_400


@pytest.fixture
def tokens(environment: VirtualEnvironment) -> PageTokens:
    return PageTokens(KeyRing.generate(environment), environment)


def following(tokens: PageTokens, made_by: GetItems | ScanItems, sent_with: GetItems | ScanItems) -> Cursor | None:
    sent_with.page_token = seal(tokens, made_by, CURSOR)
    return unseal(tokens, sent_with, CURSOR.generation)


def test_a_request_without_a_token_begins() -> None:
    environment = VirtualEnvironment()
    assert unseal(PageTokens(KeyRing.generate(environment), environment), GET, 3) is None


@pytest.mark.parametrize("kind", [GetItems, ScanItems])
def test_the_request_that_made_a_token_goes_on(tokens: PageTokens, kind: type[GetItems] | type[ScanItems]) -> None:
    made = GetItems(id="ada") if kind is GetItems else ScanItems()
    again = GetItems(id="ada") if kind is GetItems else ScanItems()
    assert following(tokens, made, again) == CURSOR


@pytest.mark.parametrize(
    "alike",
    [
        GetItems(namespace="people", id="ada", min_version=IdempotencyToken(Instant(0), "t")),
        GetItems(namespace="people", id="ada", selection=Selection()),
    ],
)
def test_pages_go_on_however_new_each_has_to_be(tokens: PageTokens, alike: GetItems) -> None:
    assert following(tokens, GetItems(namespace="people", id="ada"), alike) == CURSOR
    assert following(tokens, alike, GetItems(namespace="people", id="ada")) == CURSOR


def test_each_page_may_be_asked_for_again(tokens: PageTokens) -> None:
    request = GetItems(id="ada", page_token=seal(tokens, GetItems(id="ada"), CURSOR))
    assert unseal(tokens, request, 3) == unseal(tokens, request, 3) == CURSOR


@pytest.mark.parametrize(
    "other",
    [
        GetItems(namespace="others", id="ada"),
        GetItems(namespace="people", id="bob"),
        GetItems(namespace="people", id="ada", predicate=between(b"a")),
        GetItems(namespace="people", id="ada", selection=Selection(reverse=True)),
        GetItems(namespace="people", id="ada", selection=Selection(page_size_bytes=7)),
        ScanItems(namespace="people"),
    ],
)
def test_another_request_is_refused(tokens: PageTokens, other: GetItems | ScanItems) -> None:
    with pytest.raises(InvalidArgument, match="another request") as refused:
        following(tokens, GET, other)
    assert (refused.value.field, bool(refused.value.hint)) == ("page_token", True)


def test_a_scan_of_another_segment_is_refused(tokens: PageTokens) -> None:
    with pytest.raises(InvalidArgument, match="another request"):
        following(tokens, ScanItems(segment=0, total_segments=2), ScanItems(segment=1, total_segments=2))


def test_a_token_of_a_namespace_that_was_deleted_is_refused(tokens: PageTokens) -> None:
    request = GetItems(id="ada", page_token=seal(tokens, GetItems(id="ada"), CURSOR))
    with pytest.raises(InvalidArgument, match="was deleted") as refused:
        unseal(tokens, request, CURSOR.generation + 1)
    assert refused.value.hint == "start again without page_token"


def test_a_token_lives_a_day(tokens: PageTokens, environment: VirtualEnvironment) -> None:
    request = GetItems(id="ada", page_token=seal(tokens, GetItems(id="ada"), CURSOR))
    environment.advance(DAY_S)
    assert unseal(tokens, request, 3) == CURSOR
    environment.advance(0.001)
    with pytest.raises(InvalidArgument, match="older than 24 hours"):
        unseal(tokens, request, 3)


@pytest.mark.parametrize("position", [0, 20, 40, -1])
def test_a_token_that_was_altered_is_refused(tokens: PageTokens, position: int) -> None:
    token = list(seal(tokens, GetItems(id="ada"), CURSOR))
    token[position] = "B" if token[position] != "B" else "C"
    with pytest.raises(InvalidArgument) as refused:
        unseal(tokens, GetItems(id="ada", page_token="".join(token)), 3)
    assert refused.value.field == "page_token"


@pytest.mark.parametrize("token", ["", "nonsense", "*" * 80, "A" * 80, "A" * 100_000])
def test_what_never_was_a_token_is_refused(tokens: PageTokens, token: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        unseal(tokens, GetItems(id="ada", page_token=token), 3)
    assert refused.value.field == "page_token"


def test_a_token_of_another_stage_is_refused(tokens: PageTokens, environment: VirtualEnvironment) -> None:
    foreign = PageTokens(KeyRing.generate(environment), environment)
    with pytest.raises(InvalidArgument, match="not one of this stage"):
        unseal(tokens, GetItems(id="ada", page_token=seal(foreign, GetItems(id="ada"), CURSOR)), 3)


async def test_a_walk_ends_where_its_namespace_is_deleted_and_made_again(plain_stage: Stage) -> None:
    kv = await make(plain_stage, "people")
    await kv.put_items(id="ada", items=[item(b"a"), item(b"b")])
    page = await kv.get_items(id="ada", selection=Selection(page_size_bytes=1))
    await plain_stage.client(Namespaces).delete(name="people")
    kv = await make(plain_stage, "people")
    with pytest.raises(InvalidArgument, match="was deleted"):
        await kv.get_items(id="ada", selection=Selection(page_size_bytes=1), page_token=page.next_page_token)
