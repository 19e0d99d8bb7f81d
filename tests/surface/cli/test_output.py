from __future__ import annotations

import json
import sys

import msgspec
import pytest

from soundstage.core.message import IdempotencyToken, Instant
from soundstage.data.kv.api import CountItemsReply, GetItemsReply, Item, ItemMetadata
from soundstage.surface.cli.failure import CommandFailure
from soundstage.surface.cli.output import chosen_format, show, show_message

TOKEN = IdempotencyToken(Instant(0), "t")


class Note(msgspec.Struct):
    text: str


def items(*keys: bytes, next_page_token: str | None = None) -> GetItemsReply:
    found = [Item(key=key, value=b"v", metadata=ItemMetadata(token=TOKEN, size=1)) for key in keys]
    return GetItemsReply(items=found, next_page_token=next_page_token)


def test_what_is_given_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSTAGE_OUTPUT", "json")
    assert chosen_format("jsonl") == "jsonl"


def test_the_environment_chooses_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSTAGE_OUTPUT", "jsonl")
    assert chosen_format(None) == "jsonl"


@pytest.mark.parametrize(("terminal", "chosen"), [(True, "table"), (False, "json")])
def test_a_terminal_gets_a_table_and_programs_json(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, chosen: str
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setenv("SOUNDSTAGE_OUTPUT", "")
    assert chosen_format(None) == chosen


def test_what_is_no_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSTAGE_OUTPUT", "xml")
    with pytest.raises(CommandFailure, match="SOUNDSTAGE_OUTPUT is 'xml'") as refused:
        chosen_format(None)
    assert (refused.value.exit_code, refused.value.error.hint) == (2, "formats are table, json, jsonl")


def test_json_is_the_whole_reply(capsys: pytest.CaptureFixture[str]) -> None:
    show(items(b"a", next_page_token="more"), "json")
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["items", "next_page_token"]
    assert found["items"][0]["key"] == "a"


def test_jsonl_is_a_line_per_element_and_one_for_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    show(items(b"a", b"b", next_page_token="more"), "jsonl")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("key") for line in lines] == ["a", "b", None]
    assert lines[-1] == {"next_page_token": "more"}


def test_jsonl_of_a_list_alone_has_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    show(items(b"a"), "jsonl")
    show(items(), "jsonl")
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_jsonl_of_a_single_message_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(CountItemsReply(count=3, exact=False), "jsonl")
    assert capsys.readouterr().out == '{"count": 3, "exact": false}\n'


def test_a_table_has_headings_and_rows(capsys: pytest.CaptureFixture[str]) -> None:
    show(items(b"first", b"second", next_page_token="more"), "table")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["key", "value", "generation_time", "token", "size"]
    assert [line.split()[0] for line in lines[2:4]] == ["first", "second"]
    assert lines[-1].split() == ["next_page_token", "more"]


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show(items(), "table")
    assert capsys.readouterr().out == "no items\n"


def test_a_single_message_is_a_line_per_field(capsys: pytest.CaptureFixture[str]) -> None:
    show(CountItemsReply(count=3, exact=True), "table")
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["count", "3"], ["exact", "yes"]]


def test_markup_in_data_is_data(capsys: pytest.CaptureFixture[str]) -> None:
    show(Note("[bold]not bold[/bold] :smile:"), "table")
    assert "[bold]not bold[/bold] :smile:" in capsys.readouterr().out


def test_long_lines_are_not_broken_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    show(Note("x" * 500), "table")
    assert "x" * 500 in capsys.readouterr().out


@pytest.mark.parametrize("output", ["json", "jsonl", "table"])
def test_nothing_that_is_printed_steers_a_terminal(capsys: pytest.CaptureFixture[str], output: str) -> None:
    show(Note("\x1b[2J\x9b2J\x7f\x08"), output)  # type: ignore[arg-type]
    assert not {"\x1b", "\x9b", "\x7f", "\x08"} & set(capsys.readouterr().out)


def test_json_with_escapes_still_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    show(Note("\x9b\x7fé"), "json")
    assert json.loads(capsys.readouterr().out) == {"text": "\x9b\x7fé"}


class Settings(msgspec.Struct):
    name: str
    knobs: dict[str, str]


class SettingsList(msgspec.Struct):
    settings: list[Settings]
    note: str | None = None


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))


def test_a_map_of_a_single_message_is_opened(capsys: pytest.CaptureFixture[str]) -> None:
    show(Settings("x", {"a": "1", "b": "2"}), "table")
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["name", "x"],
        ["knobs.a", "1"],
        ["knobs.b", "2"],
    ]


def test_what_does_not_fit_a_terminal_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_a_terminal(monkeypatch, 60)
    show(items(b"k" * 30), "table")
    assert "left out: generation_time, token" in capsys.readouterr().out


def test_headings_are_bold_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    on_a_terminal(monkeypatch, 200)
    show(items(b"a"), "table")
    assert capsys.readouterr().out.startswith("\x1b[1mkey ")


def test_what_stands_beside_a_list_is_set_apart(capsys: pytest.CaptureFixture[str]) -> None:
    show(SettingsList([Settings("x", {})], note="seen"), "table")
    assert capsys.readouterr().out.splitlines()[-2:] == ["", "note  seen"]


def test_a_message_of_a_feed_is_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    for output in ("json", "jsonl"):
        show_message(Note("a"), output)
    assert capsys.readouterr().out == '{"text": "a"}\n{"text": "a"}\n'


def test_in_a_table_it_is_its_fields_and_a_blank_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_message(CountItemsReply(count=3, exact=True), "table")
    assert capsys.readouterr().out == "count  3\nexact  yes\n\n"
