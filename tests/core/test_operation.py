"""Declared operations, and the typed methods that both faces get from them."""

# pyright: reportReturnType=false

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from soundstage.core.call import CallOptions
from soundstage.core.errors import InvalidArgument, NotFound
from soundstage.core.message import IdempotencyToken
from soundstage.core.operation import AsyncFace, Face, Operation, SyncFace, face_of, operation, operations_of


class Look(msgspec.Struct, kw_only=True):
    namespace: str = ""
    key: str
    page_token: str | None = None


class Found(msgspec.Struct, kw_only=True):
    value: str
    next_page_token: str | None = None


class Write(msgspec.Struct, kw_only=True):
    key: str
    idempotency_token: IdempotencyToken | None = None


class ShelfCalls:
    system = "shelf"

    @operation(Look, access="read", idempotent=True, errors=(NotFound,))
    def look(self) -> Found:
        """What lies there."""

    @operation(Write, access="write")
    def write(self) -> Found:
        """It lies there."""


class Shelf(AsyncFace, ShelfCalls):
    pass


class SyncShelf(SyncFace, ShelfCalls):
    pass


class Recorder:
    """An invoker that keeps what it was asked and answers in pages of two."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any, CallOptions]] = []

    async def invoke(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        return self.invoke_sync(operation, request, options)

    def invoke_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        self.asked.append((operation.path, request, options))
        last = getattr(request, "page_token", None)
        return Found(value=f"page {last or 1}", next_page_token=None if last else "2")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def test_a_declaration_knows_its_place_and_messages() -> None:
    look = ShelfCalls.look
    assert (look.name, look.system, look.path, look.kind) == ("look", "shelf", "/v1/shelf/look", "call")
    assert (look.request, look.reply, look.doc) == (Look, Found, "What lies there.")


def test_a_declaration_knows_what_its_request_can_carry() -> None:
    look, write = ShelfCalls.look, ShelfCalls.write
    assert (look.namespaced, look.paged, look.tokened) == (True, True, False)
    assert (write.namespaced, write.paged, write.tokened) == (False, False, True)
    assert (look.reads, write.reads) == (True, False)


def test_operations_come_in_the_order_of_their_declaration() -> None:
    assert list(operations_of(ShelfCalls)) == ["look", "write"]


async def test_a_call_sends_the_request_that_its_arguments_spell(recorder: Recorder) -> None:
    reply = await Shelf(recorder).look(key="a")
    assert (reply.value, recorder.asked[0][:2]) == ("page 1", ("/v1/shelf/look", Look(key="a")))


def test_so_does_one_of_the_synchronous_face(recorder: Recorder) -> None:
    reply = SyncShelf(recorder).look(key="a")
    assert (reply.value, recorder.asked[0][:2]) == ("page 1", ("/v1/shelf/look", Look(key="a")))


async def test_the_clients_namespace_is_filled_in(recorder: Recorder) -> None:
    await Shelf(recorder, "mine").look(key="a")
    SyncShelf(recorder, "mine").look(key="a")
    assert [asked[1].namespace for asked in recorder.asked] == ["mine", "mine"]


async def test_a_namespace_given_with_the_call_goes_before_it(recorder: Recorder) -> None:
    await Shelf(recorder, "mine").look(key="a", namespace="other")
    SyncShelf(recorder, "mine").look(key="a", namespace="other")
    assert [asked[1].namespace for asked in recorder.asked] == ["other", "other"]


async def test_requests_without_a_namespace_get_none(recorder: Recorder) -> None:
    await Shelf(recorder, "mine").write(key="a")
    assert recorder.asked[0][1] == Write(key="a")


async def test_pages_follow_the_tokens_to_the_end(recorder: Recorder) -> None:
    values = [page.value async for page in Shelf(recorder).look.pages(key="a")]
    assert (values, [asked[1].page_token for asked in recorder.asked]) == (["page 1", "page 2"], [None, "2"])


def test_so_do_those_of_the_synchronous_face(recorder: Recorder) -> None:
    assert [page.value for page in SyncShelf(recorder).look.pages(key="a")] == ["page 1", "page 2"]


async def test_pages_are_asked_for_as_they_are_read(recorder: Recorder) -> None:
    pages = Shelf(recorder).look.pages(key="a")
    await anext(pages)
    assert len(recorder.asked) == 1


def test_options_travel_with_every_call_of_the_client_they_made(recorder: Recorder) -> None:
    shelf = SyncShelf(recorder, "mine").with_options(deadline=0.5, request_id="r", retries=1, idempotency_key="k")
    shelf.look(key="a")
    assert recorder.asked[0][2] == CallOptions(deadline=0.5, request_id="r", retries=1, idempotency_key="k")
    assert recorder.asked[0][1].namespace == "mine"


def test_options_leave_the_client_they_came_from_alone(recorder: Recorder) -> None:
    shelf = SyncShelf(recorder)
    shelf.with_options(deadline=0.5)
    shelf.look(key="a")
    assert recorder.asked[0][2] == CallOptions()


def test_a_face_keeps_its_bound_methods(recorder: Recorder) -> None:
    shelf = SyncShelf(recorder)
    assert shelf.look is shelf.look


async def test_wrong_fields_are_told_at_once(recorder: Recorder) -> None:
    with pytest.raises(TypeError, match="kay"):
        Shelf(recorder).look(kay="a")  # pyright: ignore
    await asyncio.sleep(0)
    assert recorder.asked == []


@pytest.mark.parametrize(
    ("wanted", "face", "hint"),
    [
        (AsyncFace, SyncShelf, "use Shelf here, or open the sync connection or stage"),
        (SyncFace, Shelf, "use SyncShelf here, or open the async connection or stage"),
    ],
)
def test_a_face_of_the_other_kind_is_refused(wanted: type[Face], face: type[Face], hint: str) -> None:
    with pytest.raises(InvalidArgument, match=r"is no (a)?sync client") as refused:
        face_of(wanted, face)
    assert refused.value.hint == hint


def test_a_face_of_the_kind_is_taken() -> None:
    assert (face_of(AsyncFace, Shelf), face_of(SyncFace, SyncShelf)) == (Shelf, SyncShelf)


def test_options_add_up_and_the_last_of_a_kind_counts() -> None:
    recorder = Recorder()
    shelf = SyncShelf(recorder).with_options(idempotency_key="k", deadline=1.0).with_options(deadline=2.0, retries=3)
    assert shelf.options == CallOptions(idempotency_key="k", deadline=2.0, retries=3)
