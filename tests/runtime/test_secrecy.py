from __future__ import annotations

import pytest

from soundstage.runtime.secrecy import is_secret, redacted


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "secret", "api_key", "apikey", "token", "access_token", "Authorization", "bearer"],
)
def test_telling_names_are_secret(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["password_file", "tokens_limit", "request_id", "key", "idempotency_tokens", "monkey"])
def test_other_names_are_not(name: str) -> None:
    assert not is_secret(name)


def test_the_secret_part_of_a_token_is_cut_out_and_its_id_kept() -> None:
    text = "token sst_0193abcd_Qk-9_x= was refused"
    assert redacted(text) == "token sst_0193abcd_(hidden) was refused"


def test_a_bearer_header_is_cut_out() -> None:
    assert redacted("Authorization: Bearer abc.def/ghi=") == "Authorization: Bearer (hidden)"


def test_other_text_is_left_as_it_is() -> None:
    assert redacted("sst stands for soundstage token") == "sst stands for soundstage token"
