"""Which operations clients do something of themselves for, and what becomes of a message."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from tests.core.words import content_of_words

from soundstage.core.attunement import Hedging, Understanding, attunement_of
from soundstage.core.codec import JSON, decoder
from soundstage.core.compression import compress
from soundstage.core.dictionaries import Dictionary, codec_of_dictionary
from soundstage.core.errors import InvalidArgument, NotFound, TooLarge, Unavailable
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.operation import Operation, operations_of
from soundstage.data.kv.api import (
    GetDictionary,
    GetDictionaryReply,
    GetItems,
    GetItemsReply,
    Item,
    ItemMetadata,
    KeyValueCalls,
)
from soundstage.data.kv.attunement import ATTUNEMENT
from soundstage.runtime.namespaces.api import CALLS as NAMESPACE_CALLS


def reply(*values: bytes) -> GetItemsReply:
    return GetItemsReply(items=[coded(value) for value in values])


def coded(value: bytes) -> Item:
    metadata = ItemMetadata(token=IdempotencyToken(Instant(1), "t"), size=len(value), codec="zstd")
    return Item(key=b"k", value=compress("zstd", value), metadata=metadata)


def test_a_system_names_what_is_done_for_its_calls() -> None:
    assert attunement_of(KeyValueCalls.put_items) is ATTUNEMENT


def test_nothing_is_done_for_those_that_it_does_not_concern() -> None:
    assert attunement_of(KeyValueCalls.handshake) is None


def test_nor_for_systems_that_name_nothing() -> None:
    assert {attunement_of(each) for each in operations_of(NAMESPACE_CALLS).values()} == {None}


REQUEST = GetItems(namespace="people", id="ada")


def understanding(limit: int = 1_000, answer: Any = None, *, aside: bool = False) -> Understanding:
    """What shows replies, and is told `answer` when it asks for a dictionary, each time once."""

    async def ask(operation: Operation[..., Any], request: Any) -> Any:
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    asked: list[Any] = []
    found = Understanding(ask, limit, aside=aside)
    found.asked = asked  # type: ignore[attr-defined]
    return found


async def test_a_reply_is_shown_as_its_caller_is_to_see_it() -> None:
    shown = await understanding().understood(KeyValueCalls.get_items, REQUEST, reply(b"v" * 500))
    assert shown.items[0].value == b"v" * 500


async def test_no_more_than_is_allowed() -> None:
    with pytest.raises(TooLarge):
        await understanding(999).understood(KeyValueCalls.get_items, REQUEST, reply(b"v" * 500, b"w" * 500))


async def test_a_message_that_has_nothing_of_it_is_the_same() -> None:
    plain = GetItemsReply(items=[])
    assert await understanding().understood(KeyValueCalls.get_items, REQUEST, plain) is plain


class TestDictionaries:
    """A value that needs one is shown once it has come, which all who need it wait for together."""

    words = content_of_words()
    codec = codec_of_dictionary(words)
    value = b"the words of this value are those of the others"

    def reply(self) -> GetItemsReply:
        frame = compress(self.codec, self.value, 3, Dictionary(self.codec, self.words))
        metadata = ItemMetadata(token=IdempotencyToken(Instant(1), "t"), size=len(frame), codec=self.codec)
        return GetItemsReply(items=[Item(key=b"k", value=frame, metadata=metadata)])

    async def shown(self, by: Understanding) -> bytes | None:
        return (await by.understood(KeyValueCalls.get_items, REQUEST, self.reply())).items[0].value

    async def test_many_readers_fetch_it_once(self) -> None:
        by = understanding(answer=GetDictionaryReply(codec=self.codec, content=self.words))
        assert await asyncio.gather(*(self.shown(by) for _ in range(20))) == [self.value] * 20
        assert by.asked == [GetDictionary(namespace="people", codec=self.codec)]  # type: ignore[attr-defined]

    @pytest.mark.parametrize("forged", [b"", words + b"!", words[:-1], b"\x37\xa4\x30\xec" + bytes(500)])
    async def test_one_that_is_not_what_its_name_says_is_not_taken(self, forged: bytes) -> None:
        assert await self.shown(understanding(answer=GetDictionaryReply(codec=self.codec, content=forged))) is None

    @pytest.mark.parametrize(("size", "aside"), [(8 << 10, False), (2 << 20, True)])
    async def test_a_large_value_that_waited_for_it_is_undone_in_a_thread(
        self, monkeypatch: pytest.MonkeyPatch, size: int, aside: bool
    ) -> None:
        places: list[bool] = []
        incoming = ATTUNEMENT.incoming

        def noted(*arguments: Any) -> Any:
            places.append(threading.current_thread() is not threading.main_thread())
            return incoming(*arguments)

        monkeypatch.setattr(ATTUNEMENT, "incoming", noted)
        monkeypatch.setattr(self, "value", bytes(size), raising=False)
        by = understanding(4 << 20, GetDictionaryReply(codec=self.codec, content=self.words), aside=True)
        assert (await self.shown(by), places) == (bytes(size), [aside])

    async def test_without_it_the_item_comes_without_its_value_and_says_why(self) -> None:
        by = understanding(answer=NotFound("none"))
        (item,) = (await by.understood(KeyValueCalls.get_items, REQUEST, self.reply())).items
        assert (item.value, item.withheld, item.metadata.codec) == (None, "no_dictionary", self.codec)

    async def test_the_log_says_so_once(self, caplog: pytest.LogCaptureFixture) -> None:
        by = understanding(answer=NotFound("none"))
        for _ in range(2):
            await self.shown(by)
        (said,) = caplog.records
        assert (said.levelname, vars(said)["codec"], vars(said)["namespace"]) == ("WARNING", self.codec, "people")

    async def test_whoever_cannot_fetch_it_now_is_told_so(self) -> None:
        with pytest.raises(Unavailable):
            await self.shown(understanding(answer=Unavailable("away", outcome="not_applied")))

    async def test_in_process_a_reply_that_needs_it_takes_a_step_more(self) -> None:
        understand = understanding(answer=GetDictionaryReply(codec=self.codec, content=self.words)).of(
            KeyValueCalls.get_items
        )
        assert understand is not None
        assert (await understand(REQUEST, self.reply())).items[0].value == self.value
        assert understand(REQUEST, self.reply()).items[0].value == self.value


def test_more_than_a_twentieth_may_not_be_sent_twice() -> None:
    with pytest.raises(InvalidArgument):
        decoder(Hedging, JSON).decode(b'{"share": 0.06}')


def test_callers_in_process_are_shown_what_is_understood() -> None:
    understand = understanding().of(KeyValueCalls.get_items)
    assert understand is not None
    assert understand(REQUEST, reply(b"v" * 500)).items[0].value == b"v" * 500
    plain = GetItemsReply(items=[])
    assert understand(REQUEST, plain) is plain


@pytest.mark.parametrize("operation", [KeyValueCalls.handshake, KeyValueCalls.put_items])
def test_a_reply_that_shows_no_values_costs_them_nothing(operation: Operation[..., Any]) -> None:
    assert understanding().of(operation) is None
