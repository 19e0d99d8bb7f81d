from __future__ import annotations

import re

import pytest
from rocksdict import Cache

from soundstage.core.size import Size
from soundstage.engines.rocks.opening import open_rdict
from soundstage.engines.rocks.options import RocksOptions


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The options as RocksDB itself wrote them down."""
    folder = tmp_path_factory.mktemp("database")
    options = RocksOptions(write_buffer=Size(5 << 20), open_files=99)
    open_rdict(str(folder), options, Cache(1 << 20)).close()
    text = sorted(folder.glob("OPTIONS-*"))[-1].read_text()
    return dict(re.findall(r"^\s+(\w+)=(.*)$", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wal_recovery_mode", "kTolerateCorruptedTailRecords"),
        ("recycle_log_file_num", "0"),
        ("paranoid_checks", "true"),
        ("atomic_flush", "true"),
        ("manual_wal_flush", "false"),
        ("avoid_flush_during_recovery", "false"),
        ("max_open_files", "99"),
    ],
)
def test_the_log_is_read_and_kept_as_durability_needs(written: dict[str, str], name: str, value: str) -> None:
    assert written[name] == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("write_buffer_size", "5242880"),
        ("max_total_wal_size", "20971520"),
        ("filter_policy", "bloomfilter"),
        ("memtable_prefix_bloom_size_ratio", "0.020000"),
        ("memtable_whole_key_filtering", "true"),
    ],
)
def test_memory_is_used_as_the_options_say(written: dict[str, str], name: str, value: str) -> None:
    assert written[name] == value
