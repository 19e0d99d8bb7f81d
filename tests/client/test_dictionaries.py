"""A connection that is given values whose dictionary it has to ask for first."""

from __future__ import annotations

import httpx2
import pytest
from tests.client.conftest import Meet
from tests.client.stand_in import Answer, feed, problem, reply, token
from tests.core.words import content_of_words, documents

from soundstage.client import Settings
from soundstage.core.codec import json_encode
from soundstage.core.compression import compress
from soundstage.core.dictionaries import Dictionary, codec_of_dictionary
from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.core.policy import RetryPolicy
from soundstage.data.kv.api import GetDictionaryReply, GetItemsReply, Item, ItemChange, ItemMetadata, KeyValue

WORDS = content_of_words()
CODEC = codec_of_dictionary(WORDS)
(VALUE,) = documents(1, seed=7)
AWAY = problem(Unavailable("away", outcome="not_applied"))
FOUND = reply(GetDictionaryReply(codec=CODEC, content=WORDS))


def item() -> Item:
    frame = compress(CODEC, VALUE, 3, Dictionary(CODEC, WORDS))
    return Item(key=b"k", value=frame, metadata=ItemMetadata(token=token(), size=len(frame), codec=CODEC))


def stage(*dictionaries: Answer) -> Answer:
    """Answers reads and follows with the item, and questions for its dictionary with each of those in turn."""
    left = list(dictionaries)
    items = reply(GetItemsReply(items=[item()]))
    change = ItemChange(cursor="1", id="1", idempotency_token=token(), items=[item()])
    changes = feed(json_encode(change) + b"\n")

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/get_dictionary"):
            return await left.pop(0)(request)
        return await (changes if request.url.path.endswith("/watch_items") else items)(request)

    return answer


async def test_a_read_asks_again_for_a_dictionary_that_does_not_come(meet: Meet) -> None:
    connection, _ = meet(stage(AWAY, FOUND))
    assert (await connection.client(KeyValue, "people").get_items(id="1")).items[0].value == VALUE


async def test_a_feed_goes_on_when_a_dictionary_comes_late(meet: Meet) -> None:
    connection, _ = meet(stage(AWAY, FOUND))
    changes = [change async for change in connection.client(KeyValue, "people").watch_items()]
    assert [each.value for change in changes for each in change.items or ()] == [VALUE]


async def test_it_is_not_asked_for_ever(meet: Meet) -> None:
    connection, far = meet(stage(*[AWAY] * 9), settings=Settings(retry=RetryPolicy(retries=3)))
    with pytest.raises(Unavailable):
        await connection.client(KeyValue, "people").get_items(id="1")
    assert len(far.requests) == 1 + 4


@pytest.mark.parametrize("ask", ["get_items", "watch_items"])
async def test_nobody_waits_past_a_deadline_for_one_that_others_fetch(meet: Meet, ask: str) -> None:
    connection, _ = meet(stage())
    kv = connection.client(KeyValue, "people").with_options(deadline=0.01)
    asked = kv.get_items(id="1") if ask == "get_items" else anext(kv.watch_items())
    async with connection._attuning.understanding._fetching:
        with pytest.raises(DeadlineExceeded):
            await asked
