"""Page tokens: what opens them, and that nothing else does."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core import pages
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.core.pages import KeyRing, PageTokens, binding_of
from soundstage.core.time import Instant

HOUR_S = 3_600


class Position(msgspec.Struct, array_like=True):
    key: bytes
    left: int | None = None
    seen: Instant | None = None


class Read(msgspec.Struct, kw_only=True):
    namespace: str
    limit: int | None = None
    page_token: str | None = None


REQUEST = Read(namespace="profiles")
BINDING = binding_of(REQUEST)
STATE = Position(b"\0key", 5, Instant(1))


@pytest.fixture
def tokens(environment: VirtualEnvironment) -> PageTokens:
    return PageTokens(KeyRing.generate(environment), environment)


def refusal(tokens: PageTokens, token: str, kind: str = "read", binding: bytes = BINDING) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        tokens.open(token, kind, binding, Position)
    assert caught.value.field == "page_token"
    assert caught.value.hint
    return caught.value


def test_a_token_gives_its_state_back(tokens: PageTokens) -> None:
    assert tokens.open(tokens.seal("read", BINDING, STATE), "read", BINDING, Position) == STATE


@given(st.binary(max_size=200), st.none() | st.integers(-(2**63), 2**63 - 1))
def test_any_state_comes_back(key: bytes, left: int | None) -> None:
    environment = VirtualEnvironment()
    tokens = PageTokens(KeyRing.generate(environment), environment)
    state = Position(key, left)
    assert tokens.open(tokens.seal("read", BINDING, state), "read", BINDING, Position) == state


def test_a_token_is_safe_in_an_address(tokens: PageTokens) -> None:
    token = tokens.seal("read", BINDING, STATE)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_the_longest_state_fits(tokens: PageTokens) -> None:
    token = tokens.seal("read", BINDING, Position(b"\xff" * (1_024 + 4_096 + 1_000)))
    assert len(token) <= pages.TOKEN_MAX_CHARS


def test_any_process_with_the_ring_opens_it(tokens: PageTokens, environment: VirtualEnvironment) -> None:
    other = PageTokens(KeyRing.from_bytes(tokens.keys.to_bytes()), environment)
    assert other.open(tokens.seal("read", BINDING, STATE), "read", BINDING, Position) == STATE


def test_a_token_of_another_operation_is_refused(tokens: PageTokens) -> None:
    assert "another request" in refusal(tokens, tokens.seal("scan", BINDING, STATE)).detail


def test_a_token_of_another_request_is_refused(tokens: PageTokens) -> None:
    other = binding_of(Read(namespace="others"))
    assert "another request" in refusal(tokens, tokens.seal("read", other, STATE)).detail


def test_kind_and_binding_do_not_run_into_each_other(tokens: PageTokens) -> None:
    assert "another request" in refusal(tokens, tokens.seal("rea", b"d" + BINDING, STATE)).detail


def test_a_token_lives_24_hours(tokens: PageTokens, environment: VirtualEnvironment) -> None:
    token = tokens.seal("read", BINDING, STATE)
    environment.advance(24 * HOUR_S)
    assert tokens.open(token, "read", BINDING, Position) == STATE


def test_a_token_lives_no_longer(tokens: PageTokens, environment: VirtualEnvironment) -> None:
    token = tokens.seal("read", BINDING, STATE)
    environment.advance(24 * HOUR_S + 0.001)
    assert "24 hours" in refusal(tokens, token).detail


def test_a_wall_clock_that_steps_back_does_not_end_a_walk(tokens: PageTokens, environment: VirtualEnvironment) -> None:
    token = tokens.seal("read", BINDING, STATE)
    environment.skew(-HOUR_S)
    assert tokens.open(token, "read", BINDING, Position) == STATE


def test_every_single_changed_bit_is_noticed(tokens: PageTokens) -> None:
    token = tokens.seal("read", BINDING, Position(b"k"))
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for bit in range(len(raw) * 8):
        forged = bytearray(raw)
        forged[bit // 8] ^= 1 << bit % 8
        refusal(tokens, base64.urlsafe_b64encode(forged).decode().rstrip("="))


@pytest.mark.parametrize(
    "token", ["", "x", "not a token", "é", "\ud800", "AAAA", "A" * 100, "=" * 60, "\0" * 60, "A" * 100_000]
)
def test_what_is_no_token_is_refused(tokens: PageTokens, token: str) -> None:
    refusal(tokens, token)


@given(st.text(max_size=120))
def test_no_text_at_all_raises_anything_else(text: str) -> None:
    environment = VirtualEnvironment()
    refusal(PageTokens(KeyRing.generate(environment), environment), text)


def test_a_token_cut_short_is_refused(tokens: PageTokens) -> None:
    token = tokens.seal("read", BINDING, STATE)
    for end in range(len(token)):
        refusal(tokens, token[:end])


def test_a_token_of_another_stage_is_refused(tokens: PageTokens, environment: VirtualEnvironment) -> None:
    stranger = PageTokens(KeyRing.generate(environment), environment)
    assert "not one of this stage" in refusal(tokens, stranger.seal("read", BINDING, STATE)).detail


def test_a_token_of_a_newer_format_says_so(tokens: PageTokens) -> None:
    token = tokens.seal("read", BINDING, STATE)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[0] += 1
    assert "newer release" in refusal(tokens, base64.urlsafe_b64encode(raw).decode()).detail


def test_a_state_of_another_shape_says_so(tokens: PageTokens) -> None:
    assert "another release" in refusal(tokens, tokens.seal("read", BINDING, {"old": 1})).detail


def test_rotation_keeps_what_was_signed_before(tokens: PageTokens, environment: VirtualEnvironment) -> None:
    token = tokens.seal("read", BINDING, STATE)
    tokens.keys = tokens.keys.rotate(environment)
    assert tokens.open(token, "read", BINDING, Position) == STATE


def test_rotation_signs_with_the_new_key(tokens: PageTokens, environment: VirtualEnvironment) -> None:
    before = PageTokens(tokens.keys, environment)
    tokens.keys = tokens.keys.rotate(environment)
    refusal(before, tokens.seal("read", BINDING, STATE))


def test_a_key_rotated_out_opens_nothing(tokens: PageTokens, environment: VirtualEnvironment) -> None:
    token = tokens.seal("read", BINDING, STATE)
    for _ in range(pages.KEYS_MAX):
        tokens.keys = tokens.keys.rotate(environment)
    refusal(tokens, token)


def test_a_ring_never_grows_beyond_its_bound(environment: VirtualEnvironment) -> None:
    ring = KeyRing.generate(environment)
    for _ in range(10):
        ring = ring.rotate(environment)
    assert len(ring.keys) == pages.KEYS_MAX


def test_stored_bytes_give_the_ring_back(environment: VirtualEnvironment) -> None:
    ring = KeyRing.generate(environment).rotate(environment)
    assert KeyRing.from_bytes(ring.to_bytes()) == ring


@pytest.mark.parametrize("stored", [b"", b"\xc1", b"\x80", msgspec.msgpack.encode({"keys": []})])
def test_bytes_that_are_no_ring_are_refused(stored: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        KeyRing.from_bytes(stored)


def test_a_ring_does_not_show_its_keys(environment: VirtualEnvironment) -> None:
    ring = KeyRing.generate(environment)
    assert repr(ring.keys[0].key)[2:-1] not in repr(ring)


def test_a_binding_ignores_the_page_token() -> None:
    assert binding_of(Read(namespace="profiles", page_token="x")) == BINDING


def test_a_binding_depends_on_every_other_field() -> None:
    assert binding_of(Read(namespace="profiles", limit=1)) != BINDING


def test_a_binding_is_the_same_for_a_request_of_an_older_release() -> None:
    class OlderRead(msgspec.Struct, kw_only=True):
        namespace: str
        page_token: str | None = None

    assert binding_of(OlderRead(namespace="profiles")) == BINDING


def test_a_place_comes_back_in_the_next_request_of_the_list(tokens: PageTokens) -> None:
    token = tokens.seal_place("read", REQUEST, "a\0é")
    assert tokens.open_place("read", msgspec.structs.replace(REQUEST, page_token=token)) == "a\0é"


def test_a_request_without_a_token_begins_anywhere(tokens: PageTokens) -> None:
    assert tokens.open_place("read", REQUEST) is None


def test_a_place_is_of_one_list(tokens: PageTokens) -> None:
    token = tokens.seal_place("read", REQUEST, "a")
    for kind, other in (("scan", REQUEST), ("read", Read(namespace="other"))):
        with pytest.raises(InvalidArgument, match="another request"):
            tokens.open_place(kind, msgspec.structs.replace(other, page_token=token))
