"""Replies as bytes."""

from __future__ import annotations

import pytest

from soundstage.data.kv.resp.replies import NULLS, array, bulk, bulks, error, integer, mapping, simple, text


@pytest.mark.parametrize(
    ("reply", "data"),
    [
        (bulk(b""), b"$0\r\n\r\n"),
        (bulk(b"a\r\nb"), b"$4\r\na\r\nb\r\n"),
        (text("é"), b"$2\r\n\xc3\xa9\r\n"),
        (simple("OK"), b"+OK\r\n"),
        (integer(-2), b":-2\r\n"),
        (array([]), b"*0\r\n"),
        (array([integer(1), bulk(b"a")]), b"*2\r\n:1\r\n$1\r\na\r\n"),
        (bulks([b"a", b"bc"]), b"*2\r\n$1\r\na\r\n$2\r\nbc\r\n"),
        (mapping(2, [(bulk(b"a"), integer(1))]), b"*2\r\n$1\r\na\r\n:1\r\n"),
        (mapping(3, [(bulk(b"a"), integer(1))]), b"%1\r\n$1\r\na\r\n:1\r\n"),
        (NULLS[2], b"$-1\r\n"),
        (NULLS[3], b"_\r\n"),
    ],
)
def test_replies_are_as_the_protocol_says(reply: bytes, data: bytes) -> None:
    assert reply == data


def test_an_error_is_one_line_whatever_it_says() -> None:
    assert error("ERR a\r\nb  c\n") == b"-ERR a b c\r\n"
