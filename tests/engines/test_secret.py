"""A secret is the first line of its file, or whoever needs it is told what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundstage.core.errors import Unauthenticated
from soundstage.engines.secret import secret_in


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
