"""Files in the OpenAPI description."""

from __future__ import annotations

import re
from typing import Any

import pytest

from soundstage.runtime.files import check_blob, check_name
from soundstage.surface.described_files import FILES_TAG, PATH, file_paths, file_schema
from soundstage.surface.http import files as routes


@pytest.fixture(params=[False, True])
def guarded(request: pytest.FixtureRequest) -> bool:
    return request.param


def methods(guarded: bool) -> dict[tuple[str, str], Any]:
    return {(path, method): each for path, found in file_paths(guarded).items() for method, each in found.items()}


def test_every_method_that_is_served_is_described(guarded: bool) -> None:
    one = f"{PATH}/{{blob}}"
    assert set(methods(guarded)) == {(PATH, "post"), (one, "put"), (one, "get"), (one, "head"), (one, "delete")}


def test_the_path_is_the_one_that_is_served() -> None:
    assert PATH == routes.PATH


def test_every_method_has_an_id_of_its_own_and_the_tag(guarded: bool) -> None:
    found = methods(guarded).values()
    assert len({each["operationId"] for each in found}) == len(found)
    assert all(each["tags"] == [FILES_TAG] for each in found)


def test_a_token_is_asked_for_where_the_stage_is_guarded(guarded: bool) -> None:
    assert all(("401" in each["responses"]) is guarded for each in methods(guarded).values())


def test_the_id_in_a_path_is_one_that_is_taken(guarded: bool) -> None:
    for (path, _), each in methods(guarded).items():
        named = [parameter for parameter in each["parameters"] if parameter["name"] == "blob"]
        assert len(named) == ("{blob}" in path)
        for parameter in named:
            assert check_blob(parameter["example"])
            assert re.fullmatch(parameter["schema"]["pattern"], parameter["example"])


@pytest.mark.parametrize("name", ["talk.mp4", "", "a b~", "a/b", "a\\b", "a\nb", "[x]", "x" * 255])
def test_a_name_that_is_described_is_one_that_is_taken(name: str) -> None:
    (parameter,) = [each for each in methods(False)[PATH, "post"]["parameters"] if each["name"] == "name"]
    if re.fullmatch(parameter["schema"]["pattern"], name):
        assert check_name(name) == name
    else:
        with pytest.raises(ValueError, match="no name"):
            check_name(name)


def test_the_answer_to_a_file_is_described_with_an_example() -> None:
    schema = file_schema()
    (example,) = schema["examples"]
    assert set(example) == set(schema["properties"])
