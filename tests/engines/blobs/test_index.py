"""What is known of blobs without looking."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from soundstage.engines.blobs.index import Index
from soundstage.engines.blobs.port import BlobInfo

KEYS = st.sampled_from(["a", "a/b", "a/c", "b", "c/d/e"])
CHANGES = st.lists(st.tuples(KEYS, st.integers(0, 9), st.integers(0, 5)) | KEYS, max_size=30)


def info(key: str, size: int = 1, expires_us: int = 0) -> BlobInfo:
    return BlobInfo(key=key, size=size, sha256="", created_us=0, expires_us=expires_us)


def changed(changes: list[tuple[str, int, int] | str]) -> tuple[Index, dict[str, BlobInfo]]:
    index, model = Index(), dict[str, BlobInfo]()
    for change in changes:
        if isinstance(change, str):
            assert index.remove(change) == model.pop(change, None)
        else:
            index.put(info(*change))
            model[change[0]] = info(*change)
    return index, model


@given(CHANGES, st.sampled_from(["", "a", "a/", "c"]), KEYS, st.integers(0, 6))
def test_a_list_is_what_a_dictionary_would_give(
    changes: list[tuple[str, int, int] | str], prefix: str, after: str, now_us: int
) -> None:
    index, model = changed(changes)
    wanted = [each for key, each in sorted(model.items()) if key.startswith(prefix) and key > after]
    assert index.listed(prefix, after, now_us, 100) == [each for each in wanted if each.is_live(now_us)]


@given(CHANGES, st.integers(0, 6))
def test_what_expired_is_found(changes: list[tuple[str, int, int] | str], now_us: int) -> None:
    index, model = changed(changes)
    assert sorted(index.expired(now_us, 100)) == sorted(key for key, each in model.items() if not each.is_live(now_us))


@given(CHANGES)
def test_usage_is_the_sum(changes: list[tuple[str, int, int] | str]) -> None:
    index, model = changed(changes)
    assert index.usage == (len(model), sum(each.size for each in model.values()))


@given(CHANGES)
def test_an_index_made_at_once_is_the_same(changes: list[tuple[str, int, int] | str]) -> None:
    index, model = changed(changes)
    whole = Index.of(list(model.values()))
    assert (whole.listed("", "", 0, 100), whole.usage) == (index.listed("", "", 0, 100), index.usage)
    assert whole.expired(9, 100) == index.expired(9, 100)


def test_what_expired_longest_ago_comes_first() -> None:
    index = Index.of([info("a", 1, 5), info("b", 1, 3), info("c", 1, 4)])
    assert index.expired(9, 2) == ["b", "c"]


def test_a_list_is_no_longer_than_its_limit() -> None:
    index = Index.of([info(f"k{number}") for number in range(9)])
    assert [each.key for each in index.listed("k", "k2", 0, 3)] == ["k3", "k4", "k5"]
