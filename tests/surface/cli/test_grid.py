from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from soundstage.surface.cli.grid import fields, grid
from soundstage.surface.cli.tables import Spread


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [{"id": "1", "name": "Ada"}, {"id": "1000", "name": "Grace Hopper"}]
    assert grid(rows).lines == [
        "  id   name",
        "───────────────────",
        "   1   Ada",
        "1000   Grace Hopper",
    ]


def test_numbers_stand_right_and_text_left() -> None:
    lines = grid([{"n": "1", "t": "1"}, {"n": "-22.5", "t": "b"}]).lines
    assert lines[2:] == ["    1   1", "-22.5   b"]


def test_a_cell_that_a_row_lacks_is_empty() -> None:
    assert grid([{"a": "x"}, {"b": "y"}]).lines[2:] == ["x", "    y"]


def test_a_column_that_says_nothing_is_not_there() -> None:
    assert grid([{"a": "x", "b": "", "c": "z"}]).lines[0] == "a   c"


def test_rows_that_say_nothing_are_rows_all_the_same() -> None:
    assert grid([{"a": ""}, {"a": ""}]).lines == ["a", "─", "", ""]


def test_no_line_ends_in_blanks() -> None:
    lines = grid([{"a": "x", "b": "long"}, {"a": "y", "b": ""}]).lines
    assert [line for line in lines if line != line.rstrip()] == []


def test_without_a_width_nothing_is_folded_or_left_out() -> None:
    found = grid([{f"column{number}": "x" * 200 for number in range(20)}])
    assert len(found.lines) == 3
    assert found.left_out == []


def test_what_stands_deepest_is_left_out_first() -> None:
    found = grid([{"key": "k" * 30, "metadata.token.token": "t" * 30, "metadata.size": "7" * 10}], 60)
    assert found.left_out == ["token"]
    assert found.lines[0].split() == ["key", "size"]


def test_then_what_stands_furthest_right() -> None:
    found = grid([{"a": "x" * 20, "b": "x" * 20, "c": "x" * 20, "d": "x" * 20}], 45)
    assert found.left_out == ["c", "d"]


def test_a_wide_map_goes_before_a_plain_column_to_its_right() -> None:
    rows = [{"name": "n" * 10, "config": Spread("a=1, " * 20), "version": "1", "by": "b" * 10}]
    assert grid(rows, 60).left_out == ["config"]


def test_a_narrow_map_is_a_column_like_others() -> None:
    rows = [{"name": "n" * 10, "engines": Spread("records=x"), "z": "z" * 30}]
    assert grid(rows, 40).left_out == ["z"]


def test_two_columns_stay_and_are_folded_at_spaces() -> None:
    found = grid([{"key": "k" * 15 + " " + "k" * 18, "value": "v " * 25, "more": "m" * 50}], 43)
    assert found.left_out == ["more"]
    assert found.lines[0].split() == ["key", "value"]
    assert found.lines[2:4] == [
        f"{'k' * 15}        {('v ' * 10).strip()}",
        f"{'k' * 18}     {('v ' * 10).strip()}",
    ]


def test_a_narrow_column_keeps_its_width_beside_a_wide_one() -> None:
    found = grid([{"key": "short", "value": "v " * 100}], 40)
    assert found.lines[2] == f"short   {('v ' * 16).strip()}"


def test_a_word_that_is_wider_than_its_column_is_cut() -> None:
    found = grid([{"key": "k" * 50, "value": "v" * 50}, {"key": "a", "value": "b"}], 43)
    assert found.lines[2:] == [f"{'k' * 19}…   {'v' * 19}…", f"a{' ' * 22}b"]


def test_a_wide_word_is_cut_between_its_characters() -> None:
    found = grid([{"key": "映" * 20, "value": "v" * 50}], 43)
    assert found.lines[2] == f"{'映' * 9}…    {'v' * 19}…"


def test_nothing_is_cut_where_there_is_no_terminal() -> None:
    assert grid([{"key": "k" * 500, "value": "v"}]).lines[2] == f"{'k' * 500}   v"


def test_lines_within_a_cell_stay_lines() -> None:
    assert grid([{"key": "a", "value": "one\ntwo"}, {"key": "b", "value": "x"}]).lines[2:] == [
        "a     one",
        "      two",
        "b     x",
    ]


def test_wide_characters_take_two_cells() -> None:
    lines = grid([{"a": "東京", "b": "x"}, {"a": "abcd", "b": "y"}]).lines
    assert lines[2:] == ["東京   x", "abcd   y"]


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b.c", "d.e.f", "g"]),
            st.lists(st.text("ab東\n", max_size=4), max_size=40).map(" ".join),
            min_size=1,
        ),
        min_size=1,
    ),
    st.integers(30, 120),
)
def test_no_line_of_short_words_is_wider_than_the_terminal(rows: list[dict[str, str]], width: int) -> None:
    found = grid(rows, width)
    assert max(map(cell_len, found.lines)) <= width


@given(
    st.lists(st.fixed_dictionaries({"a": st.text("ab", min_size=1), "b": st.text("cd", min_size=1)}), min_size=1),
    st.integers(19, 80),
)
def test_no_line_is_wider_than_the_terminal_and_none_is_cut_where_all_fits(
    rows: list[dict[str, str]], width: int
) -> None:
    lines = grid(rows, width).lines
    assert max(map(len, lines)) <= width
    natural = grid(rows).lines
    assert max(map(len, natural)) > width or lines == natural


def test_fields_stand_under_each_other() -> None:
    assert fields({"a": "1", "long_name": "x"}) == ["a          1", "long_name  x"]


def test_a_field_without_a_value_is_its_name() -> None:
    assert fields({"a": "", "b": "x"}) == ["a", "b  x"]


def test_a_long_value_is_folded_below_itself() -> None:
    assert fields({"name": "xxxx " * 5}, 16) == ["name  xxxx xxxx", "      xxxx xxxx", "      xxxx"]


def test_a_bearer_is_not_broken() -> None:
    assert fields({"bearer": "b" * 90, "id": "1"}, 80) == [f"bearer  {'b' * 90}", "id      1"]


def test_a_value_of_several_lines_stays_so() -> None:
    assert fields({"name": "one\ntwo"}) == ["name  one", "      two"]


def test_names_may_be_emphasised_without_moving_values() -> None:
    assert fields({"a": "1", "bb": "2"}, None, str.upper) == ["A   1", "BB  2"]


def test_no_fields_are_no_lines() -> None:
    assert fields({}) == []
