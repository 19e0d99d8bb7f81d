"""The example's own parts, on a store of a few films."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from soundstage import Stage

PATH = Path(__file__).resolve().parents[2] / "examples" / "redis_client" / "redis_client.py"


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("redis_client", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def r(example: Any) -> Iterator[Any]:
    with (
        Stage.open_sync(data="memory:", config=example.DOOR) as stage,
        redis.Redis.from_url(stage.open_doors()[0].address, decode_responses=True) as client,
    ):
        yield client


def test_the_favourites_are_those_with_the_most_five_stars(example: Any, r: Any) -> None:
    for person, stars in enumerate([{"1": 5, "2": 5}, {"1": 5, "3": 4}, {"2": 4}]):
        r.hset(f"stars:{person}", mapping=stars)
    assert example.favourites(r) == [("1", 2), ("2", 1)]


def test_they_are_kept_for_a_while(example: Any, r: Any) -> None:
    r.hset("stars:1", mapping={"1": 5})
    before = example.favourites(r)
    r.hset("stars:2", mapping={"2": 5, "1": 5})
    assert example.favourites(r) == before
    assert 0 < r.ttl("favourites") <= 60
