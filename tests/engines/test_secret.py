"""A secret is the first line of its file, or in its variable, or whoever needs it is told what is wrong."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from soundstage.core.codec import convert
from soundstage.core.errors import InvalidArgument, Unauthenticated
from soundstage.engines.secret import Variable, secret_from, secret_in


class Named(msgspec.Struct):
    password_env: Variable | None = None


def test_a_secret_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(" p@ss wörd \r\nmore\n", "utf-8")
    assert secret_in(str(tmp_path / "secret")) == "p@ss wörd"


@pytest.mark.parametrize("content", [b"", b"\nsecond", b"  \n", b"\xff\xfe"], ids=str)
def test_a_file_without_a_secret_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(Unauthenticated) as refused:
        secret_in(str(tmp_path / "secret"))
    assert refused.value.hint


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated):
        secret_in(str(tmp_path / "none"))


def test_of_a_file_that_is_no_text_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"opensesame\xc3\n")
    with pytest.raises(Unauthenticated) as refused:
        secret_in(str(tmp_path / "secret"))
    assert "0xc3" not in str(refused.value)


def test_a_secret_is_in_the_file_or_the_variable_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("of the file\n")
    monkeypatch.setenv("FILMS_PASSWORD", " p@ss wörd\n")
    assert secret_from(str(tmp_path / "secret"), None) == "of the file"
    assert secret_from(None, "FILMS_PASSWORD") == "p@ss wörd"


def test_a_secret_that_changes_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILMS_PASSWORD", "old")
    assert secret_from(None, "FILMS_PASSWORD") == "old"
    monkeypatch.setenv("FILMS_PASSWORD", "new")
    assert secret_from(None, "FILMS_PASSWORD") == "new"


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_variable_without_a_secret_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("FILMS_PASSWORD", raising=False)
    if value is not None:
        monkeypatch.setenv("FILMS_PASSWORD", value)
    with pytest.raises(Unauthenticated, match="FILMS_PASSWORD") as refused:
        secret_from(None, "FILMS_PASSWORD")
    assert "password_env" in str(refused.value.hint)


@pytest.mark.parametrize(("file", "variable"), [(None, None), ("/run/secret", "FILMS_PASSWORD")])
def test_a_secret_has_one_place(file: str | None, variable: str | None) -> None:
    with pytest.raises(InvalidArgument) as refused:
        secret_from(file, variable)
    assert "?password_env=NAME" in str(refused.value.hint)


@pytest.mark.parametrize("value", ["open sesame", "opensesame", "S3CRET!", "$S3CRET", "", "A" * 129])
def test_a_secret_in_place_of_a_variables_name_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        convert({"password_env": value}, Named)
    assert refused.value.field == "password_env"
    assert not value or value not in f"{refused.value} {refused.value.hint}"
