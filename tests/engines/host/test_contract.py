"""Ports as data."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import msgspec
import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.engines.host.contract import Contract, contract, encode
from soundstage.engines.records.port import Mark, Page


class Pair(NamedTuple):
    left: int
    right: bytes


class Shelf(Protocol):
    """A port made up for these tests, as later ports will be."""

    capabilities: frozenset[str]

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def find(self, name: str, pairs: Sequence[Pair], *, most: int | None = None) -> list[Pair]: ...

    async def fill(
        self, name: str, chunks: AsyncIterable[bytes], *, said: Mapping[str, str] = MappingProxyType({})
    ) -> int: ...

    def empty(self, name: str, start: int = 0) -> AsyncGenerator[bytes]: ...

    def seen(self) -> int: ...


class Dusted(Protocol):
    async def dust(self) -> None: ...


SHELF = Contract("shelf", Shelf, {"dust": Dusted})


class Current(msgspec.Struct):
    """A mark, of a kind that could travel."""

    current: bool = True


class Engine:
    capabilities = frozenset({"dust", "light"})

    def find(self, *given: Any, **named: Any) -> Any:
        return given, named

    fill = empty = dust = find


def method(name: str) -> Any:
    return next(each for each in SHELF.every() if each.name == name)


def carried(call: str, /, *given: Any, **named: Any) -> Any:
    """What an engine is given for a call, on the other side."""
    found = method(call)
    body = encode(found.arguments(*given, **named))
    return found.invoke(Engine().find, found.decode_arguments(body), "stream" if found.stream else None)


def test_every_call_has_its_number_and_shape() -> None:
    assert [(each.number, each.name, each.shape) for each in SHELF.every()] == [
        (0, "find", "call"),
        (1, "fill", "upload"),
        (2, "empty", "download"),
        (3, "dust", "call"),
    ]


def test_what_is_answered_at_once_is_no_call() -> None:
    assert "seen" not in [each.name for each in SHELF.every()]


def test_arguments_arrive_as_they_were_given() -> None:
    assert carried("find", "a", [Pair(1, b"x")]) == (("a", [Pair(1, b"x")]), {"most": None})
    assert carried("find", pairs=(), name="a", most=3) == (("a", []), {"most": 3})
    assert carried("empty", "a") == (("a", 0), {})


def test_a_stream_arrives_in_its_place() -> None:
    assert carried("fill", "a", said={"by": "me"}) == (("a",), {"chunks": "stream", "said": {"by": "me"}})
    assert carried("fill", "a") == (("a",), {"chunks": "stream", "said": {}})


def test_mappings_and_sequences_of_any_kind_travel() -> None:
    assert carried("fill", "a", said=MappingProxyType({"b": "c"}))[1]["said"] == {"b": "c"}
    assert carried("find", "a", {Pair(1, b""): 1}.keys())[0][1] == [Pair(1, b"")]


def test_a_result_arrives_as_what_the_port_says_it_is() -> None:
    assert method("find").decode_result(encode([Pair(1, b"x")])) == [Pair(1, b"x")]


def test_what_means_something_in_one_process_alone_is_left_out_of_a_result() -> None:
    page = Page([(b"k", b"cell")], None, None, mark=Current())
    found = next(each for each in contract("records").methods if each.name == "get")
    assert found.decode_result(encode(found.carried(page))) == Page([(b"k", b"cell")], None, None)


def test_the_same_holds_for_each_of_several_results() -> None:
    pages = [Page([(b"k", b"cell")], b"next", None, mark=Current()), Page([], None, None)]
    found = next(each for each in contract("records").methods if each.name == "read_many")
    assert found.decode_result(encode(found.carried(pages))) == [Page([(b"k", b"cell")], b"next", None), pages[1]]


def test_what_stays_may_stand_between_what_travels() -> None:
    class Marked(msgspec.Struct):
        left: int
        mark: Mark | None
        right: bytes

    class Port(Protocol):
        capabilities: frozenset[str]

        async def marked(self) -> Marked: ...

    namespace = {"Marked": Marked}
    Port.marked.__annotations__["return"] = namespace["Marked"]
    (found,) = Contract("port", Port).methods
    sent = encode(found.carried(Marked(1, Current(), b"x")))
    assert msgspec.msgpack.decode(sent) == [1, b"x"]


def test_what_an_engine_announces_arrives() -> None:
    assert SHELF.announced(SHELF.told(Engine())) == {"capabilities": frozenset({"dust", "light"})}


def test_a_call_with_other_arguments_than_the_port_says_is_refused_at_home() -> None:
    with pytest.raises(TypeError):
        method("find").arguments("a", [], colour="red")


def test_contracts_that_differ_in_anything_have_another_fingerprint() -> None:
    class Other(Protocol):
        capabilities: frozenset[str]

        async def find(self, name: str, pairs: Sequence[Pair], *, most: int | None = 1) -> list[Pair]: ...

    prints = {SHELF.fingerprint, Contract("shelf", Shelf).fingerprint, Contract("shelf", Other).fingerprint}
    assert len(prints) == 3
    assert Contract("shelf", Shelf, {"dust": Dusted}).fingerprint == SHELF.fingerprint


@pytest.mark.parametrize(("port", "calls"), [("records", 10), ("blobs", 7), ("cache", 6), ("log", 9), ("search", 9)])
def test_every_port_has_a_contract_of_all_its_calls(port: str, calls: int) -> None:
    assert len(contract(port).methods) == calls


def test_the_calls_of_capabilities_come_behind_the_common_ones() -> None:
    every = [each.name for each in contract("records").every()]
    common = [each.name for each in contract("records").methods]
    assert every[: len(common)] == common
    assert {"statistics", "checkpoint", "restore"} <= set(every[len(common) :])


def test_there_is_no_contract_of_an_unknown_port() -> None:
    with pytest.raises(InvalidArgument, match="no port"):
        contract("shelf")
