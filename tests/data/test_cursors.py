"""Where a walk of any system goes on, inside a page token; that of kv has all that can be wrong with one."""

from __future__ import annotations

import msgspec
import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.core.pages import KeyRing, PageTokens
from soundstage.data.cursors import seal, unseal

KIND = "shelves/list/1"


class ListShelves(msgspec.Struct):
    room: str
    page_token: str | None = None


class Place(msgspec.Struct, frozen=True, array_like=True):
    generation: int
    shelf: int


@pytest.fixture
def tokens() -> PageTokens:
    environment = VirtualEnvironment()
    return PageTokens(KeyRing.generate(environment), environment)


def test_a_request_without_a_token_begins(tokens: PageTokens) -> None:
    assert unseal(tokens, KIND, ListShelves("attic"), Place, 3) is None


def test_the_request_that_made_a_token_goes_on(tokens: PageTokens) -> None:
    token = seal(tokens, KIND, ListShelves("attic"), Place(3, 7))
    assert unseal(tokens, KIND, ListShelves("attic", token), Place, 3) == Place(3, 7)


@pytest.mark.parametrize(("kind", "room"), [("shelves/list/2", "attic"), (KIND, "cellar")])
def test_another_request_is_refused(tokens: PageTokens, kind: str, room: str) -> None:
    token = seal(tokens, KIND, ListShelves("attic"), Place(3, 7))
    with pytest.raises(InvalidArgument, match="another request"):
        unseal(tokens, kind, ListShelves(room, token), Place, 3)


def test_a_token_of_a_namespace_that_was_deleted_is_refused(tokens: PageTokens) -> None:
    token = seal(tokens, KIND, ListShelves("attic"), Place(3, 7))
    with pytest.raises(InvalidArgument, match="was deleted") as refused:
        unseal(tokens, KIND, ListShelves("attic", token), Place, 4)
    assert (refused.value.field, refused.value.hint) == ("page_token", "start again without page_token")
