"""Options of engines: what a URL says of them, and how those that are wrong are refused."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec
import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.engines.options import given_by, read_options


class Options(msgspec.Struct, frozen=True, kw_only=True):
    user: str | None = None
    tries: int = 3


def check(options: Options) -> None:
    if options.tries == 13:
        raise InvalidArgument("13 brings bad luck", field="tries", hint="take another")


def as_number(_: str, text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def test_a_url_gives_the_options_of_its_query_and_its_user() -> None:
    url = urlsplit("far://ada%20l@host/place?tries=5&note=")
    assert given_by(url, as_number, None) == {"tries": 5, "note": "", "user": "ada l"}
    assert given_by(url, as_number, "secret", user="key") == {
        "tries": 5,
        "note": "",
        "key": "ada l",
        "password_file": "secret",
    }


def test_options_that_are_left_out_are_as_by_default() -> None:
    assert read_options("cold", Options, {"user": "ada"}, check) == Options(user="ada", tries=3)


@pytest.mark.parametrize(
    ("given", "field"), [({"tries": "many"}, "tries"), ({"trys": 1}, "trys"), ({"tries": 13}, "tries")]
)
def test_what_is_wrong_is_refused_by_its_path_in_the_stage_file(given: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_options("cold", Options, given, check)
    assert (refused.value.field, bool(refused.value.hint)) == (f"engines.cold.options.{field}", True)
