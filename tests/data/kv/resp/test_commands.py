"""The table of commands, and what there is to know of it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from tests.data.kv.resp.conversation import Conversation, Fault, pairs

from soundstage.data.kv.resp.commands import COMMANDS, TABLE, Command
from soundstage.data.kv.resp.missing import REASONS

DOCS = (Path(__file__).resolve().parents[4] / "docs" / "doors.md").read_text()

for_each_command = pytest.mark.parametrize("command", TABLE, ids=lambda command: command.name)


@for_each_command
def test_a_command_says_what_it_does(command: Command) -> None:
    assert re.fullmatch(r"[A-Z][^\n]+\.", command.summary)


@for_each_command
def test_one_that_waits_is_a_coroutine(command: Command) -> None:
    assert inspect.iscoroutinefunction(command.answer) == command.waits


@for_each_command
def test_writes_to_one_key_spread_and_nothing_else_does(command: Command) -> None:
    assert command.spreads == ("write" in command.flags and command.keys == (1, 1, 1))


@for_each_command
async def test_too_few_arguments_are_refused(talk: Conversation, command: Command) -> None:
    least = abs(command.arity)
    if least > 1:
        assert await talk.ask(*[command.name] * (least - 1)) == Fault(
            f"ERR wrong number of arguments for '{command.name}' command"
        )


@for_each_command
def test_it_is_in_the_docs(command: Command) -> None:
    assert f"`{command.name.upper()}" in DOCS or f" {command.name.upper()}" in DOCS


def test_nothing_is_both_offered_and_not() -> None:
    assert [name for name in REASONS if name in COMMANDS] == []


@pytest.mark.parametrize("name", sorted(REASONS))
async def test_what_is_not_offered_says_why(talk: Conversation, name: bytes) -> None:
    assert await talk.ask(name, "x") == Fault(f"ERR '{name.decode()}' is not offered: {REASONS[name]}")


async def test_what_nobody_knows_is_unknown(talk: Conversation) -> None:
    assert await talk.ask("FOO", "bar") == Fault("ERR unknown command 'FOO'")
    assert await talk.ask(b"\xff\r\n" * 100) == Fault("ERR unknown command '" + " ".join(["\ufffd"] * 22) + "'")


async def test_letters_may_be_large_or_small(talk: Conversation) -> None:
    assert [await talk.ask(name, "a") for name in ("get", "GET", "GeT")] == [None, None, None]


async def test_the_table_is_told(talk: Conversation) -> None:
    assert await talk.ask("COMMAND", "COUNT") == len(TABLE)
    everything = await talk.ask("COMMAND")
    assert len(everything) == len(TABLE)
    get, nothing = await talk.ask("COMMAND", "INFO", "get", "foo")
    assert (get[:6], nothing) == ([b"get", 2, ["readonly", "fast"], 1, 1, 1], None)
    assert b"get" in await talk.ask("COMMAND", "LIST")


async def test_what_commands_do_is_told(talk: Conversation) -> None:
    docs = pairs(await talk.ask("COMMAND", "DOCS", "get"))
    assert pairs(docs[b"get"])[b"summary"] == b"The value of a key."
    assert len(await talk.ask("COMMAND", "DOCS")) == 2 * len(TABLE)
