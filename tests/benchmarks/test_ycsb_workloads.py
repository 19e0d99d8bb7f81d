from __future__ import annotations

import random
from collections import Counter

import pytest
from benchmarks.ycsb_workloads import (
    FIELD_BYTES,
    FIELDS,
    SCAN_MAX,
    UNANSWERED,
    WORKLOADS,
    Draw,
    Zipfian,
    conversation_of,
    field_names,
    scattered,
    value_of,
)

DRAWN = 20_000


def ranks(count: int) -> Counter[int]:
    zipfian = Zipfian(count, random.Random(5))
    return Counter(zipfian.rank() for _ in range(DRAWN))


def kinds(name: str) -> Counter[str]:
    return Counter(operation.kind for operation in Draw(WORKLOADS[name], 100, seed=1).operations(DRAWN))


def test_the_most_popular_is_drawn_as_often_as_the_distribution_says() -> None:
    expected = DRAWN / sum(1 / rank**0.99 for rank in range(1, 1_001))
    assert ranks(1_000)[0] == pytest.approx(expected, rel=0.05)


def test_the_second_is_drawn_about_half_as_often() -> None:
    drawn = ranks(1_000)
    assert drawn[1] / drawn[0] == pytest.approx(0.5**0.99, rel=0.1)


def test_ranks_are_below_the_count() -> None:
    assert max(ranks(50)) < 50


def test_popular_records_are_scattered() -> None:
    assert len({scattered(rank, 1_000) // 100 for rank in range(20)}) > 5


def test_the_hash_is_the_published_one() -> None:
    # FNV-1a of eight zero bytes.
    assert scattered(0, 2**64) == 0xA8C7F832281A39C5


@pytest.mark.parametrize("name", WORKLOADS)
def test_kinds_come_in_their_shares(name: str) -> None:
    drawn = kinds(name)
    for kind, share in WORKLOADS[name].shares.items():
        assert drawn[kind] / DRAWN == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("name", WORKLOADS)
def test_shares_make_one(name: str) -> None:
    assert sum(WORKLOADS[name].shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", WORKLOADS)
def test_only_records_that_are_there_are_asked_for(name: str) -> None:
    draw, there = Draw(WORKLOADS[name], 100, seed=2), 100
    for operation in draw.operations(2_000):
        if operation.kind == "insert":
            assert operation.record == there
            there += 1
        else:
            assert 0 <= operation.record < there


def test_what_was_inserted_last_is_the_most_popular_in_d() -> None:
    draw = Draw(WORKLOADS["d"], 1_000, seed=4)
    ages = [draw.records - 1 - each.record for each in draw.operations(5_000) if each.kind == "read"]
    assert Counter(ages).most_common(1)[0][0] == UNANSWERED
    assert min(ages) == UNANSWERED


def test_scans_are_of_all_lengths_up_to_the_longest() -> None:
    lengths = {each.length for each in Draw(WORKLOADS["e"], 10, seed=6).operations(5_000) if each.kind == "scan"}
    assert lengths == set(range(1, SCAN_MAX + 1))


def test_records_have_fields_of_the_published_size() -> None:
    assert (len(set(field_names())), len(value_of(1))) == (FIELDS, FIELD_BYTES)


def test_posts_follow_one_another_within_a_conversation() -> None:
    assert [conversation_of(post) for post in (0, SCAN_MAX - 1, SCAN_MAX)] == [(0, 0), (0, SCAN_MAX - 1), (1, 0)]
