"""Every benchmark, at the least size: what it measures is there, and nothing is said of how fast."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import benchmarks.startup
import pytest
from benchmarks.report import Figure

from benchmarks import (
    feeds,
    kv_compression,
    kv_deletes,
    kv_durable,
    kv_embedded,
    kv_http,
    log_embedded,
    processes,
    resp,
    startup,
    timeseries_segments,
    writeahead,
)
from soundstage.core.codec import JSON, MSGPACK, ContentType
from soundstage.surface.cli.bench import benchmarks as listed

FOLDER = Path(benchmarks.startup.__file__).parent
MIB = 1 << 20

Measured = dict[str, Figure]


def by_name(figures: Sequence[Figure]) -> Measured:
    return {figure.bench: figure for figure in figures}


def sound(figures: Sequence[Figure]) -> None:
    assert all(figure.ours > 0 for figure in figures)
    assert all(figure.ratio is not None and figure.ratio > 0 for figure in figures if figure.rival is not None)


@pytest.fixture(scope="module")
def embedded() -> list[Figure]:
    return kv_embedded.measure(kv_embedded.Scale(cache=2 * MIB, rounds=1, gets=50, batches=2))


@pytest.mark.slow
def test_each_embedded_figure_has_a_rival(embedded: list[Figure]) -> None:
    sound(embedded)
    assert all(figure.rival is not None for figure in embedded)


@pytest.mark.slow
def test_gets_are_measured_in_the_cache_and_far_beyond_it(embedded: list[Figure]) -> None:
    assert {"kv_embedded.get_10pct", "kv_embedded.get_1000pct"} <= set(by_name(embedded))


@pytest.mark.slow
def test_what_was_promised_of_embedded_use_is_what_is_measured(embedded: list[Figure]) -> None:
    promised = {figure.bench: figure.target for figure in embedded if figure.target is not None}
    assert promised == {
        "kv_embedded.get_10pct": 0.5,
        "kv_embedded.get_1000pct": 0.7,
        "kv_embedded.put_existing": 0.4,
        "kv_embedded.put_new": 0.4,
    }


@pytest.mark.slow
def test_each_embedded_figure_has_a_name_of_its_own(embedded: list[Figure]) -> None:
    assert len(by_name(embedded)) == len(embedded)


@pytest.mark.slow
def test_sets_of_mutations_are_measured_beside_puts_one_by_one() -> None:
    figures = writeahead.measure(writeahead.Scale(sets=1, rounds=1))
    sound(figures)
    assert set(by_name(figures)) == {"writeahead.accepted", "writeahead.applied"}


@pytest.mark.slow
def test_each_codec_is_measured_on_the_wire_and_on_disk() -> None:
    figures = kv_compression.measure(kv_compression.Scale(documents=200, samples=2_000))
    sound(figures)
    places, codecs = ("sent", "received", "logged", "rested"), ("zstd", "lz4", "dictionary")
    assert set(by_name(figures)) == {
        f"kv_compression.{place}_{codec}{many}" for codec in codecs for place in places for many in ("", "_x20")
    }
    assert all(figure.ratio and figure.ratio > 1 for figure in figures if "sent_dictionary" in figure.bench)


def test_documents_are_the_same_for_the_same_seed() -> None:
    assert kv_compression.documents(3, seed=1) == kv_compression.documents(3, seed=1)


def test_a_source_gives_the_same_records_to_both_sides() -> None:
    assert kv_embedded.Source(100).record(7) == kv_embedded.Source(100).record(7)


@pytest.mark.slow
def test_durable_puts_are_measured_on_this_disk() -> None:
    figures = kv_durable.measure_puts(kv_durable.Scale(rounds=1, puts=2, watched_s=0.1))
    sound(figures)
    assert {figure.bench.removeprefix("kv_durable.") for figure in figures} == {
        "put_64",
        "put_64_one_record",
        "put_64_conditional",
        "put_alone",
        "put_64_per_core",
        "put_64_one_record_per_core",
        "put_64_conditional_per_core",
        "grouped_64",
        "grouped_alone",
    }


@pytest.mark.slow
def test_readers_and_the_loop_are_watched_while_the_disk_flushes() -> None:
    watched = kv_durable.watch_slow_disk(kv_durable.Scale(rounds=1, puts=1, watched_s=0.2))
    assert watched.reads > 0
    assert watched.read_p99_s > 0


@pytest.mark.slow
def test_trimmed_records_stay_and_killed_ones_are_gone() -> None:
    figures = kv_deletes.measure(kv_deletes.Scale(trimmed=250, killed=100, rounds=1))
    sound(figures)
    assert set(by_name(figures)) == {
        "kv_deletes.trim_p99",
        "kv_deletes.trim_disk",
        "kv_deletes.first_page",
        "kv_deletes.record_delete",
    }


@pytest.mark.slow
def test_start_up_is_measured_in_processes_of_its_own() -> None:
    figures = by_name(startup.measure(startup.Scale(rounds=1, servers=1)))
    assert figures["startup.idle_memory"].ours > 1
    assert figures["startup.help"].target == 300


class Answers:
    """A server process and the tools around it, as far as the figures need them."""

    def __init__(self, cpu_us: float) -> None:
        self.cpu_us = {name: [cpu_us] for name in ("get_json", "get_msgpack", "put_json", "put_msgpack", "get", "set")}
        self.p99_us = {name: [5_000.0] for name in self.cpu_us}


def test_server_time_is_shown_per_call_with_the_latency() -> None:
    ours: Any = Answers(70.0)
    found = kv_http.cpu_figure("get_json", ours, 80, [5.0])
    assert (found.ours, found.target, found.held) == (70.0, 80, True)
    assert "p99 5.0 ms" in (found.note or "")


STAND_IN = """#!{python}
import sys, urllib.request

url, (bodies, content_type) = sys.argv[-4], sys.argv[-2:]
lines = (open(bodies).read().split() * {calls})[:{calls}]
for line in lines:
    request = urllib.request.Request(url, bytes.fromhex(line), {{"Content-Type": content_type}})
    assert urllib.request.urlopen(request).status == 200
print("Running")
print('{{"requests":%d,"seconds":0.5,"refused":{refused},"broken":0,"p50_us":1,"p99_us":2}}' % len(lines))
"""
"""Does for a few requests what the load generator does with its script."""


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, refused: int = 0, calls: int = 7) -> None:
    program = folder / "wrk"
    program.write_text(STAND_IN.format(python=sys.executable, refused=refused, calls=calls))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


SMALL = kv_http.Scale(rounds=1, seconds=1, records=3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[kv_http.Ours]:
    with kv_http.served(tmp_path_factory.mktemp("http") / "stage", "os", SMALL) as ours:
        yield ours


@pytest.mark.slow
def test_the_bodies_of_calls_are_written_down_for_the_load_generator(server: kv_http.Ours) -> None:
    bodies = server.bodies("get", JSON).read_text().split()
    assert len(bodies) == SMALL.records * kv_http.ITEMS
    assert bytes.fromhex(bodies[0]).startswith(b'{"namespace":"bench"')


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["get", "put"])
@pytest.mark.parametrize("wire", [JSON, MSGPACK])
def test_what_the_load_generator_sends_is_answered_and_counted(
    server: kv_http.Ours, kind: str, wire: ContentType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch)
    assert server.rate(kind, wire) == 14.0


@pytest.mark.slow
def test_a_run_in_which_calls_were_refused_measures_nothing(
    server: kv_http.Ours, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, refused=1)
    with pytest.raises(RuntimeError, match="1 calls were refused"):
        server.rate("get", JSON)


TINY = resp.Scale(rounds=1, seconds=0.01, keys=20)

BENCHMARK = """#!{python}
import socket, sys
port = int(sys.argv[sys.argv.index("-p") + 1])
kind = sys.argv[sys.argv.index("-t") + 1]
with socket.create_connection(("127.0.0.1", port)) as server:
    words = {{"get": "GET key:000000000007", "set": "SET key:000000000007 x", "hset": "HSET myhash f x"}}[kind]
    server.sendall(words.encode() + b"\\r\\n")
    assert not server.recv(1_000).startswith(b"-")
print('"test","rps"')
print('"%s","1234.5"' % kind)
"""


@pytest.fixture(scope="module")
def resp_door(tmp_path_factory: pytest.TempPathFactory) -> Generator[resp.Server]:
    with resp.door(tmp_path_factory.mktemp("resp") / "stage", "os", TINY) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("command", ["get", "set", "hset"])
def test_the_resp_door_answers_what_it_is_measured_with(
    resp_door: resp.Server, command: resp.Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "redis-benchmark"
    program.write_text(BENCHMARK.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert resp_door.rate(resp.Load(command, 1, 1)) == 1234.5


def test_every_command_is_measured_over_one_connection_and_many_plain_and_pipelined() -> None:
    assert len(resp.LOADS) == len(set(resp.LOADS)) == 12
    assert resp.Load("hset", 50, 16).name == "hset_c50_p16"


@pytest.mark.slow
def test_processes_are_measured_by_their_own_time_and_by_the_wall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process's time is told in hundredths of a second.
    stand_in(tmp_path, monkeypatch, calls=500)
    scale = processes.Scale(rounds=1, gets=600, gets_alone=50, batches=8, seconds=1, records=3)
    figures = by_name(processes.measure(scale))
    sound(list(figures.values()))
    assert {name: each.target for name, each in figures.items()} == {
        "processes.host_get": 0.3,
        "processes.host_get_cpu": None,
        "processes.host_get_alone": None,
        "processes.host_put": 0.3,
        "processes.http_workers": 1.6,
        "processes.http_workers_or_none": None,
        "processes.http_workers_wall": None,
    }


@pytest.mark.slow
def test_a_feed_is_told_to_all_its_followers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(*_: object) -> list[feeds.Told]:
        return [feeds.Told(1.0, 1.0, 1.0)]

    # Redis is no part of what the tests need.
    monkeypatch.setattr(feeds, "measure_redis", nobody)

    def nothing(*_: object) -> Any:
        return nullcontext((0, 0))

    monkeypatch.setattr(feeds, "need", nothing)
    monkeypatch.setattr(feeds, "redis", nothing)
    figures = by_name(feeds.measure(feeds.Scale(followers=5, changes=2, rounds=1)))
    assert set(figures) == {"feeds.told", "feeds.lag", "feeds.cpu"}
    sound([figures["feeds.told"], figures["feeds.lag"]])


RUNNABLE = sorted(each.name for each in listed(FOLDER))


@pytest.mark.slow
def test_old_slices_are_measured_in_files_beside_their_tables() -> None:
    figures = timeseries_segments.measure(timeseries_segments.Scale(flights=2_000, reads=3))
    sound(figures)
    assert {figure.bench.partition(".")[2] for figure in figures} == {
        "disk", "newest_100_p50", "newest_100_p99", "day_p50", "day_p99", "rewrite_cpu", "duckdb_scan",
    }  # fmt: skip


def test_all_benchmarks_are_listed() -> None:
    assert RUNNABLE == [
        "blobs",
        "blobs_s3",
        "cache_memcached",
        "feeds",
        "jobs_history",
        "kv_cache",
        "kv_compression",
        "kv_deletes",
        "kv_durable",
        "kv_embedded",
        "kv_http",
        "kv_pages",
        "kv_parquet",
        "kv_values",
        "log_embedded",
        "log_kafka",
        "processes",
        "records_cassandra",
        "resp",
        "search_opensearch",
        "search_tantivy",
        "startup",
        "tables_iceberg",
        "timeseries",
        "timeseries_rivals",
        "timeseries_segments",
        "writeahead",
        "ycsb",
    ]


@pytest.mark.parametrize("name", RUNNABLE)
def test_each_benchmark_begins_with_its_question(name: str) -> None:
    doc = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text())) or ""
    assert "?" in doc.partition("\n")[0]


@pytest.mark.parametrize("name", RUNNABLE)
def test_each_benchmark_is_quick_when_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = __import__(f"benchmarks.{name}", fromlist=[name])
    measured: list[object] = []

    def nothing(*_given: object) -> None: ...

    monkeypatch.setattr(module, "measure", measured.append)
    monkeypatch.setattr(module, "show", nothing)
    monkeypatch.setattr(module, "need", nothing, raising=False)
    module.main(["--quick"])
    module.main([])
    assert measured == [module.QUICK, module.FULL]


@pytest.fixture(scope="module")
def logged() -> list[Figure]:
    return log_embedded.measure_here(log_embedded.Scale(rounds=1, appends=2, batches=1, readable=10_000))


@pytest.mark.slow
def test_the_embedded_log_is_measured_beside_bare_rocksdict(logged: list[Figure]) -> None:
    sound(logged)
    assert {figure.bench for figure in logged if figure.rival is None} == {"log_embedded.read"}


@pytest.mark.slow
def test_what_was_promised_of_the_embedded_log_is_what_is_measured(logged: list[Figure]) -> None:
    promised = {figure.bench: figure.target for figure in logged if figure.target is not None}
    assert promised == {"log_embedded.append_64": 10, "log_embedded.read": 500_000}
