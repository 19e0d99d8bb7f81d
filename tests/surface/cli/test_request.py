from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.surface.cli.messages import Everything, Fact, Filter, Label, Many, Range, Single, Tree

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import Duration, Instant
from soundstage.surface.cli.flags import flags_of
from soundstage.surface.cli.request import assemble, read_input, variable


def many(brought: dict[str, Any] | None = None, **given: Any) -> Many:
    named = {"--" + name.replace("__", ".").replace("_", "-"): value for name, value in given.items()}
    return assemble(Many, flags_of(Many), named, brought or {})


def test_flags_alone_make_a_message() -> None:
    assert many(id="1") == Many(id="1")


def test_every_kind_of_flag_reaches_its_field() -> None:
    made = many(
        id="1", count=4, share=0.5, reverse=True, mode="slow", at="2026-01-01T00:00:00Z", ttl="5m", raw="hex:00",
        name=["a", "b"], fact=["k=v"], label=["l=m"], options=["n=1"], engines=["a=b"], item_limit=7,
        filter__everything=True, filter__range__start="s", filter__range__inclusive=False, filter__key=["x"],
        tree__name="root",
    )  # fmt: skip
    assert made == Many(
        id="1", count=4, share=0.5, reverse=True, mode="slow", at=Instant.parse("2026-01-01T00:00:00Z"),
        ttl=Duration.parse("5m"), raw=b"\0", names=["a", "b"], facts=[Fact(key=b"k", value=b"v")],
        labels=[Label(key="l", value="m")], options={"n": 1}, engines={"a": "b"}, item_limit=7,
        filter=Filter(everything=Everything(), range=Range(start=b"s", inclusive=False), keys=[b"x"]),
        tree=Tree(name="root"),
    )  # fmt: skip


def test_flags_go_over_what_was_brought() -> None:
    assert many({"id": "brought", "count": 1}, id="given") == Many(id="given", count=1)


def test_a_flag_of_an_inner_field_leaves_its_siblings_as_brought() -> None:
    made = many({"id": "1", "filter": {"keys": ["eA=="], "range": {"inclusive": False}}}, filter__range__start="s")
    assert made.filter == Filter(keys=[b"x"], range=Range(start=b"s", inclusive=False))


def test_json_of_a_message_and_its_inner_flags_go_together() -> None:
    made = many(id="1", filter='{"keys": ["eA=="]}', filter__range__start="s")
    assert made.filter == Filter(keys=[b"x"], range=Range(start=b"s"))


def test_flags_that_were_not_given_change_nothing() -> None:
    assert many({"id": "1", "reverse": True}, reverse=None).reverse


def test_false_is_given_too() -> None:
    assert not many({"id": "1", "reverse": True}, reverse=False).reverse


def test_an_inner_flag_on_something_else_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="does not go with"):
        many({"id": "1", "filter": "all"}, filter__range__start="s")


@pytest.mark.parametrize(
    ("brought", "field"),
    [
        ({"id": "1", "cuont": 2}, "cuont"),
        ({"id": 1}, "id"),
        ({"id": "1", "count": 10}, "count"),
        ({"id": "1", "facts": [{"key": "eA=="}]}, "facts[0].value"),
        ({"id": "1", "raw": "no base64"}, "raw"),
    ],
)
def test_what_is_brought_is_held_to_the_rules_of_the_door(brought: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        many(brought)
    assert refused.value.field == field


def test_what_is_missing_is_named_with_its_flag() -> None:
    with pytest.raises(InvalidArgument) as refused:
        assemble(Single, flags_of(Single), {}, {})
    assert refused.value.field == "id"
    assert refused.value.hint == "give --id, or --input"


def test_a_flag_that_cannot_be_read_is_named() -> None:
    with pytest.raises(InvalidArgument) as refused:
        many(id="1", raw="hex:0")
    assert str(refused.value).startswith("--raw: ")
    assert refused.value.field == "raw"


def test_input_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "message.json"
    path.write_text('{"id": "1"}')
    assert read_input(str(path)) == {"id": "1"}


def test_input_is_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"id": "1"}')))
    assert read_input("-") == {"id": "1"}


def test_without_input_there_is_an_empty_message() -> None:
    assert read_input(None) == {}


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"x"', "{} {}"])
def test_input_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "message.json"
    path.write_text(text)
    with pytest.raises(InvalidArgument) as refused:
        read_input(str(path))
    assert refused.value.field == "input"


def test_input_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="No such file"):
        read_input(str(tmp_path / "absent"))


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSTAGE_URL", "")
    assert variable("URL") is None
    monkeypatch.setenv("SOUNDSTAGE_URL", "http://x")
    assert variable("URL") == "http://x"


def test_a_mistyped_field_is_told_before_the_one_that_is_missing() -> None:
    with pytest.raises(InvalidArgument, match="idd is no known field") as refused:
        many({"idd": "1"})
    assert refused.value.hint == "did you mean id?"


def test_an_empty_input_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b" \n")))
    with pytest.raises(InvalidArgument, match="what --input brings is empty"):
        read_input("-")


def test_one_of_a_list_may_be_json_with_more_than_a_pair() -> None:
    made = many(id="1", fact=['{"key":"YQ==","value":"Yj1j"}', "k=v", "{x=1"])
    assert made == Many(
        id="1", facts=[Fact(key=b"a", value=b"b=c"), Fact(key=b"k", value=b"v"), Fact(key=b"{x", value=b"1")]
    )


def test_the_whole_message_is_named_before_its_parts() -> None:
    flags = [flag for flag in flags_of(Many) if flag.path[0] == "filter"]

    class Needs(msgspec.Struct):
        filter: dict[str, Any]

    with pytest.raises(InvalidArgument) as refused:
        assemble(Needs, flags, {}, {})
    assert refused.value.hint == "give --filter or --filter.everything, or --input"
