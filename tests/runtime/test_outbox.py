from __future__ import annotations

import asyncio

from soundstage.runtime.outbox import Outbox


class Connection:
    def __init__(self, sent: list[str], name: str) -> None:
        self.sent = sent
        self.name = name

    def let_out(self) -> None:
        self.sent.append(self.name)


async def test_nothing_leaves_before_the_turn_is_over() -> None:
    outbox, sent = Outbox(), list[str]()
    outbox.owe(Connection(sent, "a"))
    assert sent == []


async def test_all_that_was_made_ready_in_a_turn_leaves_in_its_order() -> None:
    outbox, sent = Outbox(), list[str]()
    for name in "abc":
        outbox.owe(Connection(sent, name))
    await asyncio.sleep(0)
    assert sent == ["a", "b", "c"]


async def test_it_leaves_once() -> None:
    outbox, sent = Outbox(), list[str]()
    outbox.owe(Connection(sent, "a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sent == ["a"]


async def test_what_is_made_ready_while_others_leave_has_the_next_turn() -> None:
    outbox, sent = Outbox(), list[str]()

    class Another(Connection):
        def let_out(self) -> None:
            super().let_out()
            outbox.owe(Connection(self.sent, "later"))

    outbox.owe(Another(sent, "first"))
    await asyncio.sleep(0)
    assert sent == ["first"]
    await asyncio.sleep(0)
    assert sent == ["first", "later"]
