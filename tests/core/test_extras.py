from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundstage.core.extras import library


def test_a_library_that_is_there_is_imported() -> None:
    assert library("json", "extra") is json


def test_a_module_within_a_library_is_that_module() -> None:
    assert library("json.decoder", "extra") is json.decoder


@pytest.mark.parametrize("name", ["no_such_library", "no_such_library.part"])
def test_a_library_that_is_missing_says_what_to_install(name: str) -> None:
    with pytest.raises(ModuleNotFoundError) as missing:
        library(name, "media")
    assert str(missing.value) == 'no_such_library is not installed: pip install "soundstage[media]"'
    assert missing.value.name == "no_such_library"


def test_what_a_library_lacks_itself_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_installed.py").write_text("import another_that_is_missing")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'another_that_is_missing'$"):
        library("half_installed", "media")
