"""The reference pages say what the code says."""

from __future__ import annotations

import pytest
import reference

from soundstage.core.errors import ERRORS

PAGES = reference.pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_page_is_what_the_code_says(name: str) -> None:
    assert (reference.FOLDER / name).read_text() == PAGES[name], "run `poe reference`"


def test_no_page_is_left_from_another_time() -> None:
    assert {path.name for path in reference.FOLDER.iterdir()} == set(PAGES)


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_error_is_explained(code: str) -> None:
    row = next(line for line in PAGES["errors.md"].splitlines() if line.startswith(f"| `{code}` "))
    assert len(row.split(" | ")[-1]) > 20


def test_a_bar_does_not_break_a_table() -> None:
    assert reference.table(["a"], [["x | y"]])[2] == "| x \\| y |"
