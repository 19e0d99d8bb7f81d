"""What is sent to OpenSearch, and what is refused before."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.errors import InvalidArgument, SoundstageError, TooLarge
from soundstage.engines.search.analysis import words
from soundstage.engines.search.documents import prepare
from soundstage.engines.search.opensearch import writing
from soundstage.engines.search.opensearch.writing import Writer
from soundstage.engines.search.port import (
    BULK_MAX_ACTIONS,
    BULK_MAX_BYTES,
    DOCUMENT_MAX_BYTES,
    KEYWORD_MAX_BYTES,
    Absent,
    Action,
    Delete,
    Field,
    IndexSpec,
    Kind,
    Put,
    Unchanged,
)

TEXT, WORD = Field(kind=Kind.TEXT), Field(kind=Kind.KEYWORD)
PLAIN = IndexSpec(name="films", fields={"title": TEXT, "code": WORD})
DEEP = IndexSpec(
    name="films",
    fields={"title": TEXT, "cast": Field(kind=Kind.NESTED, fields={"role": TEXT, "actor": WORD})},
)
ALL = IndexSpec(
    name="films",
    fields={
        "title": TEXT,
        "class": WORD,
        "year": Field(kind=Kind.INTEGER),
        "rating": Field(kind=Kind.DOUBLE),
        "seen": Field(kind=Kind.BOOLEAN),
        "shown": Field(kind=Kind.INSTANT),
        "tags": Field(kind=Kind.KEYWORD, many=True),
        "mood": Field(kind=Kind.VECTOR, dimensions=2),
    },
)


def sent(spec: IndexSpec, *actions: Action) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Writer(spec).written(actions).body.splitlines()]


@pytest.mark.parametrize(
    ("spec", "fields", "expected"),
    [
        (PLAIN, {}, {"ID": "1"}),
        (PLAIN, {"code": "A b"}, {"code": "A b", "ID": "1"}),
        (PLAIN, {"title": "the HEAT"}, {"title": "the HEAT", "ID": "1", "WORDS": {"title": "the heat"}}),
        (PLAIN, {"title": "…"}, {"title": "…", "ID": "1"}),
        (DEEP, {"cast": [{}]}, {"cast": [{}], "ID": "1"}),
        (
            DEEP,
            {"title": "Heat", "cast": [{"role": "Neil", "actor": "X"}]},
            {
                "title": "Heat",
                "cast": [{"role": "Neil", "actor": "X", "WORDS": {"role": "neil"}}],
                "ID": "1",
                "WORDS": {"title": "heat"},
            },
        ),
    ],
)
def test_a_document_has_its_words_beside_it(spec: IndexSpec, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sent(spec, Put("1", fields))[1] == expected


def test_each_action_is_sent_with_its_condition_in_its_place() -> None:
    actions = [
        Put("1", {}),
        Put("2", {}, Absent()),
        Put("3", {}, Unchanged("4.2")),
        Delete("4"),
        Delete("5", Unchanged("0.1")),
    ]
    assert sent(PLAIN, *actions) == [
        {"index": {"_id": "1"}},
        {"ID": "1"},
        {"create": {"_id": "2"}},
        {"ID": "2"},
        {"index": {"_id": "3", "if_seq_no": 4, "if_primary_term": 2}},
        {"ID": "3"},
        {"delete": {"_id": "4"}},
        {"delete": {"_id": "5", "if_seq_no": 0, "if_primary_term": 1}},
    ]


@pytest.mark.parametrize("revision", ["", "1", "x.y", "1.0", "-1.1", "1.2.3", "9" * 19 + ".1"])
def test_a_condition_that_cannot_hold_is_not_sent(revision: str) -> None:
    actions = [Put("1", {}, Unchanged(revision)), Put("2", {}), Delete("3", Unchanged(revision))]
    written = Writer(PLAIN).written(actions)
    assert (written.barred, written.body) == ([0, 2], b'{"index":{"_id":"2"}}\n{"ID":"2"}\n')


def test_nothing_is_sent_for_no_actions() -> None:
    assert Writer(PLAIN).written([]) == (b"", [])


VALUES = st.one_of(
    st.text(st.sampled_from("aB -é侍\ud800"), max_size=4),
    st.sampled_from(["x" * 1024, "é" * 2048, "é" * 2049, "x" * 4096, "x" * 4097]),
    st.integers(-3, 3),
    st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 2, 2**63 - 1, 1 - 2**63, -(2**63), 10**400]),
    st.sampled_from([0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 1.7976931348623157e308]),
    st.booleans(),
    st.none(),
    st.just(msgspec.UNSET),
    st.just(b"x"),
    st.lists(st.sampled_from(["a", "b"]), max_size=2),
    st.just([0.5, 1]),
    st.just({"a"}),
)
NAMES = st.sampled_from([*ALL.fields, "ID", "WORDS", "f0", "none"])
FIELDS = st.one_of(
    st.dictionaries(NAMES, VALUES, max_size=3),
    st.fixed_dictionaries(
        {"title": st.text(max_size=5)},
        optional={
            "class": st.text(max_size=3),
            "year": st.integers(-(2**63), 2**63),
            "rating": st.floats() | st.integers(),
            "seen": st.booleans(),
            "shown": st.integers(-(2**54), 2**54),
            "tags": st.lists(st.sampled_from("ab"), max_size=2),
        },
    ),
)


def prepared(actions: list[Put]) -> list[dict[str, Any]] | SoundstageError:
    try:
        return [each.fields or {} for each in prepare(ALL, actions)]
    except SoundstageError as error:
        return error


@given(st.lists(FIELDS, max_size=3))
def test_what_is_taken_and_refused_is_what_the_port_says(every: list[dict[str, Any]]) -> None:
    actions = [Put(f"{number}", fields) for number, fields in enumerate(every)]
    expected = prepared(actions)
    if isinstance(expected, SoundstageError):
        with pytest.raises(type(expected)) as refusal:
            Writer(ALL).written(actions)
        assert refusal.value.field == expected.field
        return
    found = sent(ALL, *actions)[1::2]
    for number, (source, fields) in enumerate(zip(found, expected, strict=True)):
        said = source.pop("WORDS", {}).get("title", "").split()
        assert (source.pop("ID"), said) == (f"{number}", words(fields.get("title", "")))
        # In their text a whole double is no integer, and the two zeros differ.
        assert {name: repr(value) for name, value in source.items()} == {
            name: repr(value) for name, value in fields.items()
        }


def test_fields_of_any_mapping_are_taken() -> None:
    fields: Mapping[str, Any] = MappingProxyType({"title": "Heat"})
    assert sent(PLAIN, Put("1", fields))[1]["WORDS"] == {"title": "heat"}  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["title", "class", "tags"])
def test_half_a_character_is_refused_with_its_place(name: str) -> None:
    half: Any = ["a\ud800"] if name == "tags" else "a\ud800"
    with pytest.raises(InvalidArgument) as refusal:
        Writer(ALL).written([Put("1", {}), Put("2", {name: half})])
    assert (refusal.value.field or "").startswith(f"actions[1].fields.{name}")


@pytest.mark.parametrize("id", ["", "x" * 513, "é" * 257, "\ud800", 7])
def test_what_is_no_id_is_refused_with_its_place(id: Any) -> None:
    with pytest.raises((InvalidArgument, TooLarge)) as refusal:
        Writer(PLAIN).written([Put("1", {}), Put(id, {})])
    assert refusal.value.field == "actions[1].id"


def test_an_id_of_any_letters_is_sent_as_it_is() -> None:
    assert sent(PLAIN, Delete('é"\n')) == [{"delete": {"_id": 'é"\n'}}]


def test_a_document_has_so_many_bytes_and_no_more_whatever_its_words_add() -> None:
    room = DOCUMENT_MAX_BYTES - len(b'{"title":""}')
    Writer(PLAIN).written([Put("1", {"title": "t" * room})])
    for title in ("t" * (room + 1), "é" * (room // 2 + 1)):
        with pytest.raises(TooLarge) as refusal:
            Writer(PLAIN).written([Put("1", {}), Put("2", {"title": title})])
        assert refusal.value.field == "actions[1].fields"


@pytest.mark.parametrize("when", [None, Unchanged("never")])
def test_a_call_has_so_many_bytes_and_no_more_whatever_the_words_add(when: Unchanged | None) -> None:
    large = Put("1", {"title": "t " * ((DOCUMENT_MAX_BYTES - 100) // 2)}, when)
    most = BULK_MAX_BYTES // DOCUMENT_MAX_BYTES
    Writer(PLAIN).written([large] * most)
    with pytest.raises(TooLarge):
        Writer(PLAIN).written([large] * (most + 1))


def test_small_actions_count_too() -> None:
    many = [Put("1", {"code": "x" * (BULK_MAX_BYTES // BULK_MAX_ACTIONS)})] * BULK_MAX_ACTIONS
    with pytest.raises(TooLarge):
        Writer(PLAIN).written(many)


def test_a_call_has_so_many_actions_and_no_more() -> None:
    assert len(sent(PLAIN, *[Delete("1")] * BULK_MAX_ACTIONS)) == BULK_MAX_ACTIONS
    with pytest.raises(TooLarge):
        Writer(PLAIN).written([Delete("1")] * (BULK_MAX_ACTIONS + 1))


def test_what_is_far_too_large_is_refused_before_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(items: object) -> bytes:
        raise AssertionError("it was written")

    monkeypatch.setattr(writing, "_encode_lines", never)
    spec = IndexSpec(name="films", fields={"title": TEXT, **{f"k{number}": WORD for number in range(200)}})
    keywords = Put("1", {f"k{number}": "x" * (KEYWORD_MAX_BYTES // 4) for number in range(200)})
    vectors = Put("1", {"mood": [0.1234567891234, 0.1], "title": "x" * 100_000})
    for made, action in ((spec, keywords), (spec, Put("1", {"title": "x" * 250_000})), (ALL, vectors)):
        with pytest.raises(TooLarge):
            Writer(made).written([action] * 1_000)
