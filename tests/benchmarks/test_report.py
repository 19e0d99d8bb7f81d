from __future__ import annotations

import msgspec
import pytest
from benchmarks.report import Better, Figure, cpu_rate, figure, interleaved, number, options, percentile, show, slowness


@pytest.mark.parametrize(
    ("better", "ours", "rival", "ratio"),
    [
        ("higher", 30.0, 10.0, 3.0),
        ("higher", 10.0, 40.0, 0.25),
        ("lower", 10.0, 30.0, 3.0),
        ("lower", 40.0, 10.0, 0.25),
    ],
)
def test_a_ratio_above_one_means_that_ours_is_better(better: Better, ours: float, rival: float, ratio: float) -> None:
    assert figure("x", ours, rival, "unit", better).ratio == ratio


def test_a_figure_without_a_rival_has_no_ratio() -> None:
    assert figure("x", 1.0, None, "unit", "lower").ratio is None


def test_a_side_that_did_nothing_gives_no_ratio() -> None:
    assert figure("x", 0.0, 5.0, "unit", "lower").ratio is None


@pytest.mark.parametrize(
    ("ours", "rival", "better", "target", "held"),
    [
        (5.0, 10.0, "higher", 0.5, True),
        (4.9, 10.0, "higher", 0.5, False),
        (10.0, 5.0, "lower", 0.5, True),
        (10.1, 5.0, "lower", 0.5, False),
        (80.0, None, "lower", 80.0, True),
        (80.1, None, "lower", 80.0, False),
        (40_000.0, None, "higher", 40_000.0, True),
        (39_999.0, None, "higher", 40_000.0, False),
        (1.0, 2.0, "higher", None, None),
    ],
)
def test_a_target_bounds_the_ratio_or_else_the_value(
    ours: float, rival: float | None, better: Better, target: float | None, held: bool | None
) -> None:
    assert figure("x", ours, rival, "unit", better, target=target).held is held


def test_rounds_alternate_so_that_a_slowing_machine_slows_all() -> None:
    turns: list[str] = []

    def side(name: str) -> float:
        turns.append(name)
        return 1.0

    interleaved(3, lambda: side("ours"), lambda: side("rival"))
    assert turns == ["ours", "rival", "rival", "ours", "ours", "rival"]


def test_turns_that_warm_up_alternate_too_and_do_not_count() -> None:
    results = {"ours": iter([9.0, 1.0, 2.0, 3.0]), "rival": iter([8.0, 4.0, 5.0, 6.0])}
    turns: list[str] = []

    def side(name: str) -> float:
        turns.append(name)
        return next(results[name])

    assert interleaved(3, lambda: side("ours"), lambda: side("rival"), warm=1) == [2.0, 5.0]
    assert turns == ["ours", "rival", "rival", "ours", "ours", "rival", "rival", "ours"]


def test_the_median_of_the_rounds_forgets_the_worst() -> None:
    results = iter([1.0, 2.0, 900.0])
    assert interleaved(3, lambda: next(results)) == [2.0]


def test_a_rate_counts_units_of_work() -> None:
    assert cpu_rate(lambda: sum(range(200_000)) and 5) > 0


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_percentile_is_one_of_the_values(share: float, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == value


def test_slowness_is_the_median_and_the_slowest_hundredth() -> None:
    took = [float(each) for each in range(100, 0, -1)]
    half, last = slowness("reads", took, [2 * each for each in took], targets=(None, 3.0), note="of many")
    assert [(each.bench, each.ours, each.rival, each.ratio) for each in (half, last)] == [
        ("reads_p50", 51.0, 102.0, 2.0),
        ("reads_p99", 100.0, 200.0, 2.0),
    ]
    assert [(each.held, each.note) for each in (half, last)] == [(None, "of many"), (False, None)]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.07585, "0.0759"), (37.34, "37.3"), (123.9, "124"), (54_462.5, "54,462")],
)
def test_numbers_have_the_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("arguments", "quick"), [([], False), (["--quick"], True)])
def test_every_benchmark_takes_quick(arguments: list[str], quick: bool) -> None:
    assert options("What?", arguments).quick is quick


def test_unknown_options_end_with_the_status_of_usage() -> None:
    with pytest.raises(SystemExit) as ended:
        options("What?", ["--fast"])
    assert ended.value.code == 2


def test_the_last_lines_are_one_json_object_per_figure(capsys: pytest.CaptureFixture[str]) -> None:
    figures = [
        figure("one", 5.0, 10.0, "gets/s", "higher", target=0.9, note="why"),
        figure("two", 3.0, None, "ms", "lower"),
    ]
    show("Title", figures)
    lines = capsys.readouterr().out.splitlines()
    assert [msgspec.json.decode(line, type=Figure) for line in lines[-2:]] == figures


def test_a_line_of_json_has_the_fields_of_the_convention(capsys: pytest.CaptureFixture[str]) -> None:
    show("Title", [figure("one", 5.0, 10.0, "gets/s", "higher")])
    line = msgspec.json.decode(capsys.readouterr().out.splitlines()[-1])
    assert {name: line[name] for name in ("bench", "ours", "rival", "ratio", "unit", "better")} == {
        "bench": "one",
        "ours": 5.0,
        "rival": 10.0,
        "ratio": 0.5,
        "unit": "gets/s",
        "better": "higher",
    }


def test_the_table_says_which_promise_is_not_kept(capsys: pytest.CaptureFixture[str]) -> None:
    show("Title", [figure("one", 5.0, 10.0, "gets/s", "higher", target=0.9)])
    row = next(line for line in capsys.readouterr().out.splitlines() if "│ one" in line)
    assert "NO" in row
