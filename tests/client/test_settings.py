from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from soundstage.client import Settings
from soundstage.client.settings import check_url
from soundstage.core.errors import InvalidArgument


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:7777", "http://127.0.0.1:7777"),
        ("http://127.0.0.1:7777/", "http://127.0.0.1:7777"),
        ("https://stage.example/behind/proxy/", "https://stage.example/behind/proxy"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_an_address_loses_its_last_slash(url: str, address: str) -> None:
    assert check_url(url) == address


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:7777", "ftp://stage", "http://", "http://:80", "http://h:99999", "http://h:x", "http://h:0",
     "http://h?x=1", "http://h#part", "http://[::1", "unix:/tmp/socket"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_url(url)
    assert refused.value.field == "url"
    assert "http://127.0.0.1:7777" in (refused.value.hint or "")


def test_credentials_in_an_address_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="credentials"):
        check_url("http://me:secret@stage")


def test_a_refusal_of_credentials_does_not_repeat_them() -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_url("http://me:secret@stage")
    assert "secret" not in str(refused.value)


def test_a_token_is_sent_as_given() -> None:
    assert Settings(token="sst_a_b").bearer() == "sst_a_b"


def test_without_a_token_none_is_sent() -> None:
    assert Settings().bearer() is None


def test_a_token_goes_before_its_file(tmp_path: Path) -> None:
    assert Settings(token="given", token_file=str(tmp_path / "absent")).bearer() == "given"


def test_the_first_line_of_a_token_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("  sst_a_b \nanother\n")
    assert Settings(token_file=str(path)).bearer() == "sst_a_b"


def test_a_reply_in_a_token_file_is_no_token(tmp_path: Path) -> None:
    path = tmp_path / "root.json"
    path.write_text('{\n  "bearer": "sst_a_b"\n}\n')
    with pytest.raises(InvalidArgument, match=r"root\.json holds no token") as refused:
        Settings(token_file=str(path)).bearer()
    assert "`bearer`" in (refused.value.hint or "")


@pytest.mark.parametrize("content", [None, ""])
def test_a_token_file_without_a_token_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidArgument) as refused:
        Settings(token_file=str(path)).bearer()
    assert refused.value.field == "token_file"
    assert "tokens create" in (refused.value.hint or "")


@pytest.mark.parametrize("wrong", [{"timeout": 0.0}, {"timeout": -1.0}, {"max_connections": 0}, {"max_reply_bytes": 0}])
def test_a_bound_that_allows_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Settings(**wrong)  # type: ignore[arg-type]
    assert refused.value.field == next(iter(wrong))


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="xml"):
        Settings(format="xml")  # type: ignore[arg-type]


def test_an_authority_of_ones_own_is_trusted_alone(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = Settings(ca=str(tmp_path / "ca.pem")).trust()
    assert context.cert_store_stats()["x509_ca"] == 1


def test_a_missing_authority_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Settings(ca=str(tmp_path / "absent.pem")).trust()
    assert refused.value.field == "ca"


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("me@example.org")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "chain.pem"))
    with pytest.raises(InvalidArgument) as refused:
        Settings(certificate=str(tmp_path / "chain.pem")).trust()
    assert refused.value.field == "certificate"
