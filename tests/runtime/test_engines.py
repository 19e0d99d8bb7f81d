from __future__ import annotations

import logging
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from soundstage.core.environment import Environment, SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.core.time import NS_PER_S, Duration
from soundstage.engines.cache.memcached import MemcachedCache
from soundstage.engines.cache.memory import MemoryCache
from soundstage.engines.host import HostServer
from soundstage.engines.log.port import LogCapability, TopicSpec
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Capability, Records
from soundstage.engines.search.memory import MemorySearch
from soundstage.engines.search.opensearch import OpenSearchSearch
from soundstage.engines.search.tantivy import TantivySearch
from soundstage.runtime import engines as module
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.engines import Engines, Scheme
from soundstage.runtime.openers import HOST_SOCKET, Place
from soundstage.runtime.urls import split_url

OPENED: list[Place] = []


def open_toy(place: Place, config: EngineConfig, environment: Environment) -> Records:
    """An opener as a third party writes it."""
    OPENED.append(place)
    return MemoryRecords(environment)


def open_missing(place: Place, config: EngineConfig, environment: Environment) -> Records:
    import driver_that_nobody_has  # type: ignore[import-not-found] # noqa: F401

    return MemoryRecords(environment)


def opened(environment: Environment, data: str = "/data", **urls: str | EngineConfig) -> Engines:
    configs = {name: url if isinstance(url, EngineConfig) else EngineConfig(url=url) for name, url in urls.items()}
    return Engines(configs, data, environment)


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    OPENED.clear()
    path = "tests.runtime.test_engines"
    schemes = {
        "toy": Scheme({"records": f"{path}:open_toy"}, folder=True),
        "costly": Scheme({"records": f"{path}:open_missing"}, "costly"),
    }
    monkeypatch.setattr(module, "SCHEMES", {**module.SCHEMES, **schemes})


def test_every_memory_engine_is_one_of_its_own(environment: VirtualEnvironment) -> None:
    engines = opened(environment, a="memory:", b="memory:")
    assert engines["a"] is not engines["b"]
    assert list(engines) == ["a", "b"]


def test_names_of_one_folder_share_one_engine(environment: VirtualEnvironment, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "x")
    engines = opened(
        environment,
        str(tmp_path),
        a=f"toy://{tmp_path}/x",
        b="toy:x",
        c="toy:./y/../x",
        d="toy:link",
        e="toy:y",
    )
    assert len({id(engines[name]) for name in "abcd"}) == 1
    assert engines["e"] is not engines["a"]
    assert list(engines.distinct()) == ["a", "e"]


def test_one_folder_with_two_settings_is_refused(environment: VirtualEnvironment) -> None:
    with pytest.raises(InvalidArgument, match="share the folder /data/x but not their settings") as caught:
        opened(environment, a="toy:x", b=EngineConfig(url="toy:x", durability="os"))
    assert caught.value.field == "engines.b"


def test_one_folder_with_two_queries_is_refused(environment: VirtualEnvironment) -> None:
    with pytest.raises(InvalidArgument, match="share the folder /data/x but not their settings"):
        opened(environment, a="toy:x", b="toy:x?layout=plain")


async def test_the_query_of_a_folder_of_blobs_says_how_they_lie_there(
    environment: VirtualEnvironment, tmp_path: Path
) -> None:
    engine = opened(environment, a=f"file://{tmp_path}/x?layout=plain").blobs("a", "test")
    await engine.start()
    await engine.stop()
    assert (tmp_path / "x" / "files").is_dir()


async def test_options_of_the_stage_file_go_before_those_of_the_query(
    environment: VirtualEnvironment, tmp_path: Path
) -> None:
    config = EngineConfig(url=f"file://{tmp_path}/x?layout=plain", options={"layout": "packed"})
    engine = opened(environment, a=config).blobs("a", "test")
    await engine.start()
    await engine.stop()
    assert not (tmp_path / "x" / "files").exists()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("layout=flat", "engines.a.options.layout"),
        ("lay=plain", "engines.a.options.lay"),
        ("durability=os", "engines.a.url"),
    ],
)
def test_a_query_that_says_nothing_of_a_folder_of_blobs_is_told(
    environment: VirtualEnvironment, query: str, field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        opened(environment, a=f"file:x?{query}")
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("toy:records", "/data/records"),
        ("toy:///abs/records", "/abs/records"),
        ("toy:/abs/records", "/abs/records"),
        ("toy:a%20b", "/data/a b"),
    ],
)
def test_paths_are_absolute_or_below_the_data_folder(url: str, folder: str) -> None:
    assert Place("a", split_url("a", url), "/data").folder == folder


@pytest.mark.parametrize("url", ["toy:", "toy://host/path"])
def test_a_url_without_a_folder_says_how_to_write_one(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        _ = Place("a", split_url("a", url), "/data").folder
    assert caught.value.field == "engines.a.url"
    assert "toy:///absolute/folder" in str(caught.value.hint)


@pytest.mark.parametrize("url", ["cassndra://host/k", "records", ""])
def test_an_unknown_scheme_lists_the_known_and_what_to_install(environment: VirtualEnvironment, url: str) -> None:
    with pytest.raises(InvalidArgument, match="unknown scheme") as caught:
        opened(environment, a=url)
    assert caught.value.field == "engines.a.url"
    assert 'costly (pip install "soundstage[costly]")' in str(caught.value.hint)
    assert "memory, rocksdb, file, lru, lfu, memcached, opensearch, host, toy, cassandra" in str(caught.value.hint)


def test_a_url_without_a_scheme_shows_how_one_is_written(environment: VirtualEnvironment) -> None:
    with pytest.raises(InvalidArgument) as caught:
        opened(environment, a="rocksdb")
    assert str(caught.value.hint).startswith("write SCHEME:FOLDER, such as rocksdb:records; known schemes:")


def test_a_missing_driver_says_what_to_install(environment: VirtualEnvironment) -> None:
    with pytest.raises(InvalidArgument, match="needs the package 'driver_that_nobody_has'") as caught:
        opened(environment, a="costly://host")
    assert caught.value.hint == 'pip install "soundstage[costly]"'


def test_a_third_partys_scheme_is_found_by_its_entry_point(
    environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("theirs", "tests.runtime.test_engines:open_toy", module.ENTRY_POINTS)

    def entry_points(**_: Any) -> EntryPoints:
        return EntryPoints([point])

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    opened(environment, a="theirs://host:1/keyspace")
    assert OPENED[0].url.netloc == "host:1"


def test_an_unknown_name_names_the_nearest(environment: VirtualEnvironment) -> None:
    engines = opened(environment, default="memory:")
    with pytest.raises(InvalidArgument) as caught:
        engines.get("defalt", "x.y")
    assert (caught.value.field, caught.value.hint) == ("x.y", "did you mean 'default'?")


def test_the_memory_engine_has_no_options(environment: VirtualEnvironment) -> None:
    with pytest.raises(InvalidArgument) as caught:
        opened(environment, a=EngineConfig(url="memory:", options={"speed": 1}))
    assert caught.value.field == "engines.a.options"


def test_malformed_urls_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="is malformed"):
        split_url("a", "toy://[::1")


def test_a_user_without_a_password_is_no_secret() -> None:
    assert split_url("a", "toy://me@host/k").username == "me"


def test_an_unknown_option_of_the_embedded_engine_names_the_nearest(
    environment: VirtualEnvironment, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        opened(environment, str(tmp_path), a=EngineConfig(url="rocksdb:x", options={"write_bufer": 1}))
    assert caught.value.field == "engines.a.options.write_bufer"
    assert "write_buffer" in str(caught.value.hint)


def test_the_embedded_engine_is_opened_with_its_options_and_touches_nothing_before_it_starts(
    environment: VirtualEnvironment, tmp_path: Path
) -> None:
    config = EngineConfig(url="rocksdb:x", durability="os", options={"open_files": 64})
    engine: Any = opened(environment, str(tmp_path), a=config)["a"]
    assert (engine.database.options.durability, engine.database.options.open_files) == ("os", 64)
    assert list(tmp_path.iterdir()) == []


def test_a_scheme_may_offer_several_ports(environment: VirtualEnvironment, tmp_path: Path) -> None:
    engines = opened(environment, str(tmp_path), both="memory:", rows="toy:x", files="file:y")
    assert list(engines.distinct()) == ["both", "rows"]
    assert list(engines.distinct_blobs()) == ["both", "files"]
    assert list(engines.distinct_logs()) == ["both"]
    assert len(engines.everything()) == 6
    assert engines.blobs("files", "f") is engines["files"]
    assert engines.log("both", "f") is engines.ports("both")["log"]


async def test_a_log_shares_the_database_of_the_records_beside_it(tmp_path: Path) -> None:
    engines = opened(SystemEnvironment(), str(tmp_path), a="rocksdb:x", b="rocksdb:./x", c="rocksdb:y")
    shared, apart = engines.ports("a"), engines.ports("c")
    assert engines.ports("b") == shared
    assert shared["log"].database is shared["records"].database
    assert apart["log"].database is not shared["log"].database
    assert LogCapability.ATOMIC_WITH_LOG in engines.log("a", "f").capabilities
    await engines.start()
    await engines.log("b", "f").create_topic(TopicSpec(name="topic"))
    await engines.stop()


def test_a_folder_that_something_given_stands_in_for_stays_closed(environment: VirtualEnvironment) -> None:
    configs = {"a": EngineConfig(url="rocksdb:x"), "b": EngineConfig(url="memory:")}
    given = {name: MemoryRecords(environment) for name in configs}
    engines = Engines(configs, "/data", environment, given)
    assert (list(engines.distinct()), list(engines.distinct_logs())) == (["a", "b"], ["b"])


def test_an_engine_without_a_log_is_told(environment: VirtualEnvironment) -> None:
    engines = opened(environment, rows="toy:x", both="memory:")
    with pytest.raises(InvalidArgument, match="holds no log") as caught:
        engines.log("rows", "events.engine")
    assert (caught.value.field, caught.value.hint) == ("events.engine", "engines for log are both")


@pytest.mark.parametrize(("name", "said"), [("rows", "holds no blobs"), ("fils", "there is no engine")])
def test_an_engine_without_the_port_is_told(
    environment: VirtualEnvironment, tmp_path: Path, name: str, said: str
) -> None:
    engines = opened(environment, str(tmp_path), rows="toy:x", files="file:y")
    with pytest.raises(InvalidArgument, match=said) as caught:
        engines.blobs(name, "files.engine")
    assert (caught.value.field, "files" in (caught.value.hint or "")) == ("files.engine", True)


def test_options_of_files_are_checked(environment: VirtualEnvironment, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        opened(environment, str(tmp_path), files=EngineConfig(url="file:y", options={"qouta": 5}))
    assert caught.value.field == "engines.files.options.qouta"


def test_caches_are_opened_by_what_they_evict(environment: VirtualEnvironment) -> None:
    engines = opened(environment, a="lru:", b="lfu:", c="lru:")
    assert len({id(engines.cache(name, "cache")) for name in "abc"}) == 3
    assert not any(engines.is_shared(name) for name in "abc")


async def test_a_cache_of_another_process_is_opened_by_the_folder_of_that_process(tmp_path: Path) -> None:
    environment = SystemEnvironment()
    owner = opened(environment, str(tmp_path), hot="lru:")
    server = HostServer(owner.offered(), tmp_path / HOST_SOCKET, environment)
    options = {"ports": ["cache"], "engine": "hot"}
    other = opened(environment, "/elsewhere", mine=EngineConfig(url=f"host://{tmp_path}", options=options))
    await owner.start()
    await server.start()
    await other.start()
    assert await other.cache("mine", "cache").set(b"k", b"red", within_s=60)
    assert [found.value for found in await owner.cache("hot", "cache").get([b"k"])] == [b"red"]
    for part in (other, server, owner):
        await part.stop()


@pytest.mark.parametrize(("ports", "together"), [(["records"], False), (["records", "log"], True)])
async def test_records_of_another_process_are_written_with_a_log_that_is_reached_too(
    tmp_path: Path, ports: list[str], together: bool
) -> None:
    environment = SystemEnvironment()
    owner = opened(environment, str(tmp_path), mine=f"rocksdb://{tmp_path}/records")
    server = HostServer(owner.offered(), tmp_path / HOST_SOCKET, environment)
    other = opened(environment, "/elsewhere", mine=EngineConfig(url=f"host://{tmp_path}", options={"ports": ports}))
    await owner.start()
    await server.start()
    await other.start()
    found = other.get("mine", "engine").capabilities
    for part in (other, server, owner):
        await part.stop()
    assert (Capability.ATOMIC_WITH_LOG in found, Capability.HOSTED in found) == (together, True)


def test_a_cache_on_servers_is_opened_by_their_addresses(environment: VirtualEnvironment) -> None:
    config = EngineConfig(url="memcached://one:1,two:2", options={"within": "50ms", "prefix": "films:"})
    cache = opened(environment, a=config).cache("a", "cache")
    assert isinstance(cache, MemcachedCache)
    assert [node.name for node in cache.nodes] == ["one:1", "two:2"]


def test_a_cache_takes_what_stands_in_its_url(environment: VirtualEnvironment) -> None:
    config = EngineConfig(url="memcached://ada@one,two:2?failures_max=7&tls=true&password_env=HOT")
    cache = opened(environment, a=config).cache("a", "cache")
    assert isinstance(cache, MemcachedCache)
    assert [node.name for node in cache.nodes] == ["one:11211", "two:2"]


@pytest.mark.parametrize("query", ["failures_max=many", "tls=maybe", "tsl_ca=/ca.pem", "password_env=open%20sesame"])
def test_an_option_in_the_url_of_a_cache_is_refused_by_its_name(environment: VirtualEnvironment, query: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        opened(environment, a=EngineConfig(url=f"memcached://one?{query}"))
    assert caught.value.field == f"engines.a.options.{query.partition('=')[0]}"
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "cassandra://ada@one/films",
        "kafka://ada@one",
        "opensearch://ada@one",
        "memcached://ada@one",
        "s3://AKIA@films",
        "iceberg+postgresql://ada@one/films?warehouse=/a",
    ],
)
def test_every_engine_of_servers_is_told_which_variable_has_its_password(
    environment: VirtualEnvironment, url: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        opened(environment, a=EngineConfig(url=url, password_env="no name"))
    assert caught.value.field == "engines.a.options.password_env"


@pytest.mark.parametrize("url", ["memcached:", "memcached://one:x", "memcached://one,one"])
def test_a_cache_without_good_addresses_is_refused(environment: VirtualEnvironment, url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        opened(environment, a=url)
    assert caught.value.field == "engines.a.url"


def test_an_option_that_a_cache_has_not_is_refused(environment: VirtualEnvironment) -> None:
    with pytest.raises(InvalidArgument) as caught:
        opened(environment, a=EngineConfig(url="memcached://one", options={"speed": 1}))
    assert str(caught.value.field).startswith("engines.a.options")


def test_every_port_but_that_of_tables_is_offered_to_other_processes(environment: VirtualEnvironment) -> None:
    offered = opened(environment, a="lru:", b="memory:", c="arrow:").offered()
    assert {port for port, _ in offered} == {"records", "blobs", "cache", "log", "search"}


def test_indexes_in_memory_are_those_of_one_engine(environment: VirtualEnvironment) -> None:
    engines = opened(environment, a="memory:", b="memory:")
    assert isinstance(engines.search("a", "engine"), MemorySearch)
    assert engines.search("a", "engine") is not engines.search("b", "engine")


def test_indexes_on_disk_are_kept_in_the_folder_of_their_url(environment: VirtualEnvironment, tmp_path: Path) -> None:
    config = EngineConfig(url="tantivy:films", options={"memory": "20MiB"})
    engines = opened(environment, str(tmp_path), a=config, b=config)
    found = engines.search("a", "engine")
    assert isinstance(found, TantivySearch)
    assert found is engines.search("b", "engine")
    assert found.folder == tmp_path / "films"


def test_options_of_indexes_are_checked(environment: VirtualEnvironment, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        opened(environment, str(tmp_path), a=EngineConfig(url="tantivy:films", options={"memmory": 5}))
    assert caught.value.field == "engines.a.options.memmory"


def test_indexes_on_a_cluster_are_named_by_its_url(environment: VirtualEnvironment) -> None:
    engines = opened(environment, a="opensearch://one:9201,two/films?shards=2")
    assert isinstance(engines.search("a", "engine"), OpenSearchSearch)
    assert engines.is_shared("a")


@pytest.mark.parametrize("url", ["opensearch:", "opensearch://one:x", "opensearch://one/A", "opensearch://one?shads=2"])
def test_a_cluster_without_a_good_address_is_refused(environment: VirtualEnvironment, url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        opened(environment, a=url)
    assert str(caught.value.field).startswith("engines.a.")


def test_an_engine_without_indexes_is_told_from_those_with_them(environment: VirtualEnvironment) -> None:
    with pytest.raises(InvalidArgument) as refused:
        opened(environment, a="lru:", b="memory:").search("a", "engine")
    assert refused.value.hint == "engines for search are b"


def test_a_cluster_is_named_by_its_url(environment: VirtualEnvironment) -> None:
    engines = opened(environment, shared="cassandra://one,two/films?consistency=local_quorum", own="memory:")
    assert (type(engines["shared"]).__name__, engines.is_shared("shared")) == ("CassandraRecords", True)
    assert not engines.is_shared("own")


def test_options_of_a_cluster_stand_in_the_stage_file_too(environment: VirtualEnvironment) -> None:
    with pytest.raises(InvalidArgument) as refused:
        opened(environment, shared=EngineConfig(url="cassandra://one/films", options={"consistancy": "one"}))
    assert refused.value.field == "engines.shared.options.consistancy"


def test_a_bucket_is_named_by_its_url(environment: VirtualEnvironment) -> None:
    engines = opened(environment, films="s3://films/stage?region=eu-west-1", own="file:own")
    assert (type(engines.blobs("films", "engine")).__name__, engines.is_shared("films")) == ("S3Blobs", True)
    assert not engines.is_shared("own")


def test_an_option_that_a_bucket_has_not_is_refused(environment: VirtualEnvironment) -> None:
    with pytest.raises(InvalidArgument) as refused:
        opened(environment, films=EngineConfig(url="s3://films", options={"regoin": "eu-west-1"}))
    assert refused.value.field == "engines.films.options.regoin"


@pytest.mark.parametrize(
    ("url", "kind", "shared"),
    [
        ("arrow:", "MemoryTables", False),
        ("iceberg:tables", "IcebergTables", True),
        ("iceberg+postgresql://db/films?warehouse=/shared", "IcebergTables", True),
    ],
)
def test_tables_are_opened_by_where_their_catalogue_is(
    environment: VirtualEnvironment, url: str, kind: str, shared: bool
) -> None:
    engines = opened(environment, a=url)
    assert (type(engines.tables("a", "engine")).__name__, engines.is_shared("a")) == (kind, shared)


SHARED = {
    "cassandra://db/films": True,
    "kafka://broker:9092": True,
    "s3://films?endpoint=http://store:9000": True,
    "memcached://one:11211": True,
    "opensearch://one:9200": True,
    "iceberg+postgresql://db/films?warehouse=/shared": True,
    "rocksdb:films": False,
    "memory:": False,
    "lru:": False,
    "file:films": False,
    "tantivy:films": False,
    "iceberg:films": False,
    "arrow:": False,
}


@pytest.mark.parametrize(("url", "shared"), SHARED.items())
def test_an_engine_says_whether_stages_elsewhere_see_the_same(
    environment: VirtualEnvironment, url: str, shared: bool
) -> None:
    told = {port: "shared" in engine.capabilities for port, engine in opened(environment, a=url).ports("a").items()}
    assert told == dict.fromkeys(told, shared) != {}


def test_names_of_one_folder_share_its_tables(environment: VirtualEnvironment) -> None:
    engines = opened(environment, a="iceberg:tables", b="iceberg:tables", c="iceberg:others")
    assert engines.tables("a", "engine") is engines.tables("b", "engine")
    assert engines.tables("a", "engine") is not engines.tables("c", "engine")


def test_an_option_that_tables_have_not_is_refused(environment: VirtualEnvironment) -> None:
    with pytest.raises(InvalidArgument) as refused:
        opened(environment, a=EngineConfig(url="iceberg:tables", options={"flie": "1MiB"}))
    assert refused.value.field == "engines.a.options.flie"


def test_what_is_given_by_the_name_of_a_cache_and_is_none_is_left_aside(environment: VirtualEnvironment) -> None:
    engines = Engines({"hot": EngineConfig(url="lru:")}, "/data", environment, {"hot": MemoryRecords(environment)})
    assert isinstance(engines.cache("hot", "engine"), MemoryCache)


def test_a_log_on_kafka_is_opened_by_its_url(environment: VirtualEnvironment) -> None:
    engines = opened(environment, events="kafka://one,two:19092?space=films", own="memory:")
    assert LogCapability.TRANSACTIONS in engines.log("events", "f").capabilities
    assert engines.is_shared("events")
    with pytest.raises(InvalidArgument, match="holds no records"):
        engines.get("events", "f")


def test_options_of_kafka_stand_in_the_stage_file_too(environment: VirtualEnvironment) -> None:
    with pytest.raises(InvalidArgument) as refused:
        opened(environment, events=EngineConfig(url="kafka://one", options={"compresion": "zstd"}))
    assert refused.value.field == "engines.events.options.compresion"


class Coming(MemoryRecords):
    """A server that can be reached from the `late`th try on, a second after each other."""

    def __init__(self, environment: VirtualEnvironment, late: int, *, retryable: bool = True) -> None:
        super().__init__(environment)
        self.tries = 0
        self._late = late
        self._retryable = retryable

    async def start(self) -> None:
        self.tries += 1
        if self.tries < self._late:
            raise Unavailable("nobody answers there", retryable=self._retryable)
        await super().start()


def coming(environment: VirtualEnvironment, server: Coming, **settings: Any) -> Engines:
    config = EngineConfig(url="cassandra://10.0.0.1/films", **settings)
    return Engines({"far": config}, "/data", environment, {"far": server})


async def test_a_server_that_comes_later_is_waited_for_and_that_is_told(
    environment: VirtualEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    server = Coming(environment, 3)
    with caplog.at_level(logging.WARNING, "soundstage.runtime"):
        await coming(environment, server).start()
    assert server.tries == 3
    assert caplog.messages == [
        "the engine far is waited for, up to 30 s more: nobody answers there",
        "the engine far is waited for, up to 29 s more: nobody answers there",
    ]


async def test_a_server_that_does_not_come_is_given_up_with_its_reason(environment: VirtualEnvironment) -> None:
    server = Coming(environment, 100)
    with pytest.raises(Unavailable, match="nobody answers there"):
        await coming(environment, server, start_within=Duration(5 * NS_PER_S)).start()
    assert server.tries == 6


@pytest.mark.parametrize(("retryable", "seconds"), [(False, 30), (True, 0)])
async def test_what_waiting_does_not_mend_and_what_nobody_would_wait_for_is_told_at_once(
    environment: VirtualEnvironment, retryable: bool, seconds: int
) -> None:
    server = Coming(environment, 2, retryable=retryable)
    with pytest.raises(Unavailable):
        await coming(environment, server, start_within=Duration(seconds * NS_PER_S)).start()
    assert server.tries == 1


async def test_who_holds_a_folder_is_not_waited_for(environment: VirtualEnvironment) -> None:
    server = Coming(environment, 2)
    engines = Engines({"near": EngineConfig(url="memory:")}, "/data", environment, {"near": server})
    with pytest.raises(Unavailable):
        await engines.start()
    assert server.tries == 1
