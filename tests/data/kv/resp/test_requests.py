"""Commands out of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.kv.resp.conversation import encoded

from soundstage.data.kv.resp.requests import FOREIGN, LINE_MAX_BYTES, UNKNOWN, Limits, Requests, words_of

ROOMY = Limits(1_000, 1 << 20)

COMMANDS = st.lists(st.lists(st.binary(max_size=12) | st.just(b"\r\n$3\r\n"), min_size=1, max_size=5), max_size=6)


def read(data: bytes, limits: Limits = ROOMY) -> tuple[list[list[bytes]], str | None]:
    requests = Requests(limits)
    return requests.feed(data), requests.failure


@given(commands=COMMANDS, data=st.data())
def test_any_split_of_the_bytes_gives_the_same_commands(commands: list[list[bytes]], data: st.DataObject) -> None:
    whole = b"".join(encoded(*command) for command in commands)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    requests = Requests(ROOMY)
    found: list[list[bytes]] = []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += requests.feed(whole[start:end])
    assert (found, requests.failure, requests.held) == (commands, None, 0)


@given(commands=COMMANDS)
def test_one_byte_at_a_time_gives_the_same_commands(commands: list[list[bytes]]) -> None:
    requests = Requests(ROOMY)
    found: list[list[bytes]] = []
    for byte in b"".join(encoded(*command) for command in commands):
        found += requests.feed(bytes([byte]))
    assert (found, requests.failure) == (commands, None)


@given(data=st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    whole, failure = read(data)
    requests = Requests(ROOMY)
    parts = [command for byte in data for command in requests.feed(bytes([byte]))]
    assert parts == whole
    assert requests.failure == failure


@given(words=st.lists(st.text("abcXYZ019:._-*$", min_size=1, max_size=8), min_size=1, max_size=5))
def test_plain_words_of_a_line_are_its_command(words: list[str]) -> None:
    command = [b"get", *(word.encode() for word in words)]
    assert read(b" ".join(command) + b"\r\n") == ([command], None)


def test_a_command_after_a_line_is_read() -> None:
    assert read(b"PING\r\n" + encoded("GET", "a"))[0] == [[b"PING"], [b"GET", b"a"]]


def test_a_line_may_end_without_a_carriage_return() -> None:
    assert read(b"GET a\nPING\n")[0] == [[b"GET", b"a"], [b"PING"]]


@pytest.mark.parametrize("data", [b"\r\n", b"   \r\n", b"*0\r\n", b"*-1\r\n"])
def test_nothing_is_no_command(data: bytes) -> None:
    assert read(data + b"PING\r\n") == ([[b"PING"]], None)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'a "b c" d', [b"a", b"b c", b"d"]),
        (b"a 'b\\'c'", [b"a", b"b'c"]),
        (b'"\\x41\\n\\t\\"\\\\"', [b'A\n\t"\\']),
        (b'""', [b""]),
        (b'a"b"', None),
        (b'"a', None),
        (b"'a'b", None),
    ],
)
def test_quotes_hold_words_together(line: bytes, words: list[bytes] | None) -> None:
    assert words_of(line) == words


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        (b"*x\r\n", "Protocol error: invalid multibulk length"),
        (b"*99999999999999999999\r\n", "Protocol error: invalid multibulk length"),
        (b"*1001\r\n", "Protocol error: invalid multibulk length"),
        (b"*1\r\n:1\r\n", "Protocol error: expected '$', got ':'"),
        (b"*1\r\n*1\r\n", "Protocol error: expected '$', got '*'"),
        (b"*1\r\n\r\n", "Protocol error: expected '$', got ''"),
        (b"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$4294967296\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$+3\r\nabc\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$1\r\nabc", "Protocol error: expected a line end after an argument"),
        (b'get "a\r\n', "Protocol error: unbalanced quotes in request"),
        (b"x" * LINE_MAX_BYTES, "Protocol error: too big inline request"),
        (b"*" + b"1" * LINE_MAX_BYTES, "Protocol error: too big inline request"),
    ],
)
def test_what_is_malformed_is_said(data: bytes, failure: str) -> None:
    assert read(data) == ([], failure)


def test_commands_before_what_is_malformed_are_read() -> None:
    assert read(encoded("PING") + b"*x\r\n" + encoded("PING"))[0] == [[b"PING"]]


def test_nothing_is_read_after_it() -> None:
    requests = Requests(ROOMY)
    requests.feed(b"*x\r\n")
    assert requests.feed(encoded("PING")) == []


def test_all_arguments_of_a_command_are_bounded_together() -> None:
    limits = Limits(10, 100)
    assert read(encoded("SET", b"x" * 60, b"y" * 37), limits)[1] is None
    assert read(encoded("SET", b"x" * 60, b"y" * 38), limits)[1] == "Protocol error: invalid bulk length"


def test_many_commands_may_be_more_than_the_bound_of_one() -> None:
    found, failure = read(encoded("SET", b"x" * 40, b"y" * 20) * 10, Limits(10, 100))
    assert (len(found), failure) == (10, None)


def test_a_huge_argument_holds_no_memory_before_it_comes() -> None:
    requests = Requests(Limits(10, 1 << 30))
    requests.feed(b"*2\r\n$3\r\nGET\r\n$1000000000\r\n")
    assert requests.held < 100


def test_who_is_unknown_may_say_little() -> None:
    assert read(encoded(*["x"] * 11), UNKNOWN)[1] == "Protocol error: unauthenticated invalid multibulk length"
    assert read(encoded("AUTH", b"x" * 20_000), UNKNOWN)[1] == "Protocol error: unauthenticated invalid bulk length"
    assert read(encoded("AUTH", "default", "token"), UNKNOWN)[1] is None


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: localhost:6379\r\n\r\nSET pwned yes\r\n",
        b"post\r\nSET pwned yes\r\n",
        b"Host: localhost:6379\r\n\r\nSET pwned yes\r\n",
        b"hOST:x\nSET pwned yes\r\n",
    ],
)
def test_after_a_word_of_http_nothing_is_read(data: bytes) -> None:
    assert read(data) == ([], FOREIGN)


@pytest.mark.parametrize("words", [("POST", "x"), ("GET", "Host:"), ("HOST:",)])
def test_words_of_http_in_an_array_are_words(words: tuple[str, ...]) -> None:
    assert read(encoded(*words))[1] is None


def test_of_who_is_unknown_one_command_is_read_at_a_time() -> None:
    requests = Requests(UNKNOWN)
    assert requests.feed(encoded("AUTH", "token") + encoded("SET", "a", b"x" * 20_000)) == [[b"AUTH", b"token"]]
    requests.limits = ROOMY
    assert requests.feed(b"") == [[b"SET", b"a", b"x" * 20_000]]
    assert requests.held == 0


def test_what_is_kept_is_read_with_what_follows() -> None:
    requests = Requests(ROOMY)
    requests.keep(encoded("GET", "a")[:7])
    requests.keep(encoded("GET", "a")[7:])
    assert requests.feed(encoded("PING")) == [[b"GET", b"a"], [b"PING"]]


def test_what_is_half_there_is_told() -> None:
    requests = Requests(ROOMY)
    requests.feed(encoded("SET", "a", "b" * 50)[:-30])
    assert 20 < requests.held < 80
