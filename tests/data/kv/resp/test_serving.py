"""Commands about the connection and the server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.data.kv.resp.conversation import Conversation, Fault, House, encoded, housed, pairs

from soundstage import __version__
from soundstage.core.environment import VirtualEnvironment
from soundstage.runtime.tokens.api import Tokens

WRONG = Fault("WRONGPASS invalid username-password pair or user is disabled.")
UNKNOWN = Fault("NOAUTH Authentication required.")


@pytest.fixture
async def guarded(environment: VirtualEnvironment) -> AsyncIterator[House]:
    async with housed(environment, auth={"mode": "tokens"}) as house:
        yield house


async def token(house: House, name: str, *roles: str) -> str:
    return (await house.stage.client(Tokens).create(name=name, roles=list(roles))).bearer  # type: ignore[arg-type]


async def test_ping_and_echo_answer(talk: Conversation) -> None:
    assert [await talk.ask("PING"), await talk.ask("ping", "x"), await talk.ask("ECHO", "é")] == [
        "PONG",
        b"x",
        "é".encode(),
    ]
    assert isinstance(await talk.ask("PING", "a", "b"), Fault)


async def test_the_time_is_the_servers(house: House, talk: Conversation) -> None:
    seconds, us = await talk.ask("TIME")
    assert abs(int(seconds) * 1_000_000 + int(us) - house.environment.now_us()) < 10_000


async def test_select_goes_to_another_namespace(talk: Conversation) -> None:
    await talk.ask("SET", "a", "0")
    assert await talk.ask("SELECT", 1) == "OK"
    assert await talk.ask("GET", "a") is None
    assert await talk.ask("SELECT", 0) == "OK"
    assert await talk.ask("GET", "a") == b"0"


@pytest.mark.parametrize("database", ["2", "-1", "x"])
async def test_a_database_that_is_not_configured_is_refused(talk: Conversation, database: str) -> None:
    reply = await talk.ask("SELECT", database)
    assert isinstance(reply, Fault)
    assert await talk.ask("CLIENT", "INFO") != b""


class TestWithAuthentication:
    async def test_nothing_is_answered_before_it(self, guarded: House) -> None:
        talk = guarded.talk()
        for words in [("GET", "a"), ("PING",), ("CLIENT", "LIST"), ("INFO",), ("COMMAND",), ("SELECT", "0")]:
            assert await talk.ask(*words) == UNKNOWN

    async def test_a_token_lets_in(self, guarded: House) -> None:
        talk = guarded.talk()
        assert await talk.ask("AUTH", await token(guarded, "app", "write")) == "OK"
        assert [await talk.ask("SET", "a", "1"), await talk.ask("GET", "a")] == ["OK", b"1"]

    @pytest.mark.parametrize("user", ["default", "app"])
    async def test_with_the_name_of_the_token_or_default(self, guarded: House, user: str) -> None:
        assert await guarded.talk().ask("AUTH", user, await token(guarded, "app", "write")) == "OK"

    async def test_not_with_another_name(self, guarded: House) -> None:
        assert await guarded.talk().ask("AUTH", "other", await token(guarded, "app", "write")) == WRONG

    async def test_a_wrong_token_does_not(self, guarded: House) -> None:
        talk = guarded.talk()
        assert await talk.ask("AUTH", "nothing") == WRONG
        assert await talk.ask("GET", "a") == UNKNOWN

    async def test_what_the_token_does_not_grant_is_refused(self, guarded: House) -> None:
        talk = guarded.talk()
        await talk.ask("AUTH", await token(guarded, "app", "read"))
        reply = await talk.ask("SET", "a", "1")
        assert isinstance(reply, Fault)
        assert reply.line.startswith("NOPERM")
        assert await talk.ask("GET", "a") is None

    async def test_a_revoked_token_lets_do_nothing_more(self, guarded: House) -> None:
        talk = guarded.talk()
        await talk.ask("AUTH", await token(guarded, "app", "write"))
        await guarded.stage.client(Tokens).revoke(id="app")
        guarded.environment.advance(1)
        reply = await talk.ask("GET", "a")
        assert isinstance(reply, Fault)
        assert reply.line.startswith("NOAUTH")

    async def test_hello_lets_in_too(self, guarded: House) -> None:
        talk = guarded.talk()
        reply = await talk.ask("HELLO", 3, "AUTH", "default", await token(guarded, "app", "write"), "SETNAME", "me")
        assert reply[b"proto"] == 3
        assert await talk.ask("CLIENT", "GETNAME") == b"me"

    async def test_and_without_it_refuses(self, guarded: House) -> None:
        reply = await guarded.talk().ask("HELLO", 3)
        assert isinstance(reply, Fault)
        assert reply.line.startswith("NOAUTH HELLO")

    async def test_reset_forgets_who_it_was(self, guarded: House) -> None:
        talk = guarded.talk()
        await talk.ask("AUTH", await token(guarded, "app", "write"))
        assert await talk.ask("RESET") == "RESET"
        assert await talk.ask("GET", "a") == UNKNOWN

    async def test_who_is_unknown_sends_little(self, guarded: House) -> None:
        talk = guarded.talk()
        reply = await talk.ask("SET", "a", b"x" * 20_000)
        assert reply == Fault("ERR Protocol error: unauthenticated invalid bulk length")
        assert talk.wire.closed

    async def test_who_is_known_may_send_more(self, guarded: House) -> None:
        talk = guarded.talk()
        await talk.ask("AUTH", await token(guarded, "app", "write"))
        assert await talk.ask("SET", "a", b"x" * 20_000) == "OK"

    async def test_what_follows_in_the_same_packet_is_by_who_is_known(self, guarded: House) -> None:
        bearer = await token(guarded, "app", "write")
        pairs = [word for number in range(20) for word in (f"k{number}", number)]
        replies = await guarded.talk().ask_all(
            ("AUTH", bearer), ("SET", "a", b"x" * 20_000), ("MSET", *pairs), ("STRLEN", "a"), ("GET", "k19")
        )
        assert replies == ["OK", "OK", "OK", 20_000, b"19"]

    async def test_also_after_hello(self, guarded: House) -> None:
        bearer = await token(guarded, "app", "write")
        replies = await guarded.talk().ask_all(
            ("HELLO", 3, "AUTH", "default", bearer), ("SET", "a", b"x" * 20_000), ("GET", "a")
        )
        assert replies[1:] == ["OK", b"x" * 20_000]

    async def test_however_the_bytes_come(self, guarded: House) -> None:
        bearer = await token(guarded, "app", "write")
        talk = guarded.talk()
        whole = b"".join(
            encoded(*words) for words in [("PING",), ("AUTH", bearer), ("SET", "a", b"x" * 20_000), ("STRLEN", "a")]
        )
        for start in range(0, len(whole), 1_000):
            talk.connection.data_received(whole[start : start + 1_000])
        assert await talk.replies() == [UNKNOWN, "OK", "OK", 20_000]
        assert guarded.door.context.statistics.buffered == 0

    async def test_a_wrong_token_lets_no_more_come(self, guarded: House) -> None:
        replies = await guarded.talk().ask_all(("AUTH", "nothing"), ("SET", "a", b"x" * 20_000))
        assert replies == [WRONG, Fault("ERR Protocol error: unauthenticated invalid bulk length")]

    async def test_many_commands_of_who_is_unknown_are_each_refused(self, guarded: House) -> None:
        assert await guarded.talk().ask_all(*[("GET", "a")] * 700) == [UNKNOWN] * 700

    async def test_what_waits_while_replies_are_not_taken_is_read_after_who_it_is(self, guarded: House) -> None:
        bearer = await token(guarded, "app", "write")
        talk = guarded.talk()
        talk.connection.pause_writing()
        talk.connection.data_received(encoded("AUTH", bearer))
        talk.connection.data_received(encoded("SET", "a", b"x" * 20_000))
        talk.connection.resume_writing()
        assert await talk.replies() == ["OK", "OK"]

    async def test_after_quit_nothing_is_read(self, guarded: House) -> None:
        assert await guarded.talk().ask_all(("QUIT",), ("PING",), ("PING",)) == ["OK"]

    async def test_others_are_shown_to_those_who_observe(self, guarded: House) -> None:
        talk, other = guarded.talk(), guarded.talk()
        await talk.ask("AUTH", await token(guarded, "app", "write"))
        await other.ask("AUTH", await token(guarded, "eye", "observe", "read"))
        assert (await talk.ask("CLIENT", "LIST")).count(b"\n") == 1
        assert (await other.ask("CLIENT", "LIST")).count(b"\n") == 2


async def test_without_authentication_a_password_is_refused(talk: Conversation) -> None:
    reply = await talk.ask("AUTH", "secret")
    assert isinstance(reply, Fault)
    assert reply.line.startswith("ERR AUTH")


async def test_hello_tells_of_the_server(talk: Conversation) -> None:
    facts = pairs(await talk.ask("HELLO"))
    assert (facts[b"server"], facts[b"proto"], facts[b"mode"]) == (b"soundstage", 2, b"standalone")
    assert (await talk.ask("HELLO", 3))[b"proto"] == 3
    assert await talk.ask("GET", "x") is None
    assert pairs(await talk.ask("HELLO", 2))[b"proto"] == 2


@pytest.mark.parametrize("words", [("1",), ("4",), ("3", "WHAT"), ("3", "AUTH", "x")])
async def test_a_hello_that_is_none_changes_nothing(talk: Conversation, words: tuple[str, ...]) -> None:
    assert isinstance(await talk.ask("HELLO", *words), Fault)
    assert talk.connection.client is not None
    assert talk.connection.client.protocol == 2


async def test_quit_answers_and_closes(talk: Conversation) -> None:
    assert await talk.ask_all(("QUIT",), ("PING",)) == ["OK"]
    assert talk.wire.closed


async def test_reset_is_the_beginning(talk: Conversation) -> None:
    await talk.ask("HELLO", 3, "SETNAME", "me")
    await talk.ask("SELECT", 1)
    assert await talk.ask("RESET") == "RESET"
    assert await talk.ask("CLIENT", "GETNAME") is None
    await talk.ask("SET", "a", "1")
    assert b"db=0 resp=2" in await talk.ask("CLIENT", "INFO")


async def test_a_connection_has_a_name_an_id_and_a_library(talk: Conversation) -> None:
    assert await talk.ask("CLIENT", "GETNAME") is None
    assert await talk.ask("CLIENT", "SETNAME", "me") == "OK"
    assert await talk.ask("CLIENT", "SETINFO", "LIB-NAME", "mine") == "OK"
    assert await talk.ask("CLIENT", "SETINFO", "lib-ver", "1.2") == "OK"
    number = await talk.ask("CLIENT", "ID")
    line = (await talk.ask("CLIENT", "LIST")).decode()
    assert f"id={number} addr=127.0.0.1:5 name=me" in line
    assert "lib-name=mine lib-ver=1.2 user=local" in line


@pytest.mark.parametrize("words", [("SETNAME", "a b"), ("SETNAME", "x" * 65), ("SETNAME",), ("SETINFO", "X", "y")])
async def test_a_name_that_is_none_is_refused(talk: Conversation, words: tuple[str, ...]) -> None:
    assert isinstance(await talk.ask("CLIENT", *words), Fault)


async def test_switches_that_mean_nothing_here_are_taken(talk: Conversation) -> None:
    assert [await talk.ask("CLIENT", "NO-EVICT", "on"), await talk.ask("CLIENT", "NO-TOUCH", "off")] == ["OK", "OK"]
    assert isinstance(await talk.ask("CLIENT", "NO-EVICT", "maybe"), Fault)


@pytest.mark.parametrize(
    "words", [("CLIENT", "KILL"), ("CONFIG", "SET", "a", "b"), ("CONFIG", "GET"), ("COMMAND", "X")]
)
async def test_parts_that_are_not_offered_say_so(talk: Conversation, words: tuple[str, ...]) -> None:
    reply = await talk.ask(*words)
    assert isinstance(reply, Fault)
    assert "offered" in reply.line


async def test_settings_are_found_by_pattern(talk: Conversation) -> None:
    assert pairs(await talk.ask("CONFIG", "GET", "save")) == {b"save": b""}
    assert pairs(await talk.ask("CONFIG", "GET", "max*", "SAVE")) == {
        b"maxclients": b"10000",
        b"maxmemory": b"0",
        b"save": b"",
    }
    assert pairs(await talk.ask("CONFIG", "GET", "databases")) == {b"databases": b"2"}


async def test_info_tells_of_the_server(talk: Conversation) -> None:
    await talk.ask("GET", "a")
    everything = (await talk.ask("INFO")).decode()
    assert f"soundstage_version:{__version__}\r\n" in everything
    assert "total_commands_processed:" in everything
    assert (await talk.ask("INFO", "clients")).decode().startswith("# Clients\r\nconnected_clients:1\r\n")
    assert await talk.ask("INFO", "nothing") == b""
