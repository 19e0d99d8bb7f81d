"""What stands in arguments."""

from __future__ import annotations

import pytest

from soundstage.core.limits import TTL_MAX
from soundstage.data.kv.resp.faults import CommandError
from soundstage.data.kv.resp.options import MS, SetOptions, field_of, getex_options, id_of, integer_of, set_options

NOW = 1_700_000_000_000 * MS


@pytest.mark.parametrize(("argument", "value"), [(b"0", 0), (b"-5", -5), (b"9223372036854775807", 2**63 - 1)])
def test_integers_are_read(argument: bytes, value: int) -> None:
    assert integer_of(argument) == value


@pytest.mark.parametrize(
    "argument", [b"", b"-", b"01", b"+1", b" 1", b"1.0", b"1e3", b"9223372036854775808", b"-0", b"x"]
)
def test_what_is_written_otherwise_is_none(argument: bytes) -> None:
    with pytest.raises(CommandError, match="not an integer"):
        integer_of(argument)


def test_ids_are_text() -> None:
    assert id_of("é".encode()) == "é"
    with pytest.raises(CommandError, match="UTF-8"):
        id_of(b"\xff")


def test_the_empty_field_is_taken() -> None:
    assert field_of(b"f") == b"f"
    with pytest.raises(CommandError, match="empty"):
        field_of(b"")


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], SetOptions()),
        ([b"ex", b"10"], SetOptions(NOW + 10_000 * MS)),
        ([b"PX", b"10"], SetOptions(NOW + 10 * MS)),
        ([b"EXAT", b"5"], SetOptions(5_000 * MS)),
        ([b"PXAT", b"5"], SetOptions(5 * MS)),
        ([b"NX", b"GET"], SetOptions(only_new=True, returns_old=True)),
        ([b"xx", b"keepttl"], SetOptions(only_old=True, keeps_expiry=True)),
        ([b"GET", b"EX", b"1", b"XX"], SetOptions(NOW + 1_000 * MS, only_old=True, returns_old=True)),
    ],
)
def test_the_options_of_set(words: list[bytes], options: SetOptions) -> None:
    assert set_options([b"SET", b"k", b"v", *words], NOW) == options


@pytest.mark.parametrize(
    "words",
    [[b"EX"], [b"NX", b"XX"], [b"EX", b"1", b"PX", b"1"], [b"EX", b"1", b"KEEPTTL"], [b"PERSIST"], [b"what"]],
)
def test_what_set_does_not_know_is_a_syntax_error(words: list[bytes]) -> None:
    with pytest.raises(CommandError, match="ERR syntax error"):
        set_options([b"SET", b"k", b"v", *words], NOW)


@pytest.mark.parametrize("amount", [b"0", b"-1"])
def test_a_time_that_is_none_is_refused(amount: bytes) -> None:
    with pytest.raises(CommandError, match="invalid expire time in 'set' command"):
        set_options([b"SET", b"k", b"v", b"EX", amount], NOW)


def test_a_time_beyond_what_kv_keeps_is_refused() -> None:
    most = TTL_MAX // MS
    assert set_options([b"SET", b"k", b"v", b"PX", b"%d" % most], NOW).expires_ns == NOW + TTL_MAX
    with pytest.raises(CommandError, match="ten years"):
        set_options([b"SET", b"k", b"v", b"PX", b"%d" % (most + 1)], NOW)


def test_the_options_of_getex() -> None:
    assert getex_options([b"GETEX", b"k", b"PERSIST"], NOW) == SetOptions(drops_expiry=True)
    assert getex_options([b"GETEX", b"k", b"EX", b"1"], NOW) == SetOptions(NOW + 1_000 * MS)
    with pytest.raises(CommandError, match="syntax"):
        getex_options([b"GETEX", b"k", b"NX"], NOW)
    with pytest.raises(CommandError, match="syntax"):
        getex_options([b"GETEX", b"k", b"PERSIST", b"EX", b"1"], NOW)
