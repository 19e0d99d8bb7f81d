from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.sample import Sample, SampleKit
from tests.servers.test_child import FAMILY, wait_for, wait_until

from soundstage.core.errors import AlreadyExists, DataLoss, NotFound, Unavailable
from soundstage.servers import catalogue, commands, standing
from soundstage.servers.family import Process, started_at
from soundstage.servers.kind import Kind, Launch
from soundstage.servers.shelf import Shelf
from soundstage.servers.standing import Site, Standing


def quiet(_: str) -> None:
    pass


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample is the only kind there is."""
    only: tuple[Kind, ...] = (Sample(),)
    for module in (catalogue, standing, commands):
        monkeypatch.setattr(module, "KINDS", only)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(Shelf(tmp_path / "shelf"))
    yield made
    made.down("sample")


def up(site: Site, nodes: int = 1, **settings: str) -> Standing:
    return site.up("sample", nodes=nodes, settings=settings, note=quiet)


def running(state: Standing) -> list[bool]:
    return [process.running for process in state.processes]


def test_what_is_up_runs_in_groups_of_its_own(site: Site) -> None:
    state = up(site, nodes=2)
    assert running(state) == [True, True]
    assert all(os.getpgid(process.pid) == process.pid for process in state.processes)


def test_what_is_up_is_known_to_others(site: Site, tmp_path: Path) -> None:
    state = up(site)
    assert Site(Shelf(tmp_path / "shelf")).state("sample") == state
    assert site.states() == [state]


def test_what_is_noted_of_it_nobody_else_may_read(site: Site) -> None:
    up(site)
    assert (site.folder("sample") / "state.json").stat().st_mode & 0o777 == 0o600


def test_it_outlives_the_process_that_started_it(site: Site, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.servers.sample import Sample;"
        "from soundstage.servers import catalogue; from soundstage.servers.shelf import Shelf;"
        "from soundstage.servers.standing import Site; catalogue.KINDS = (Sample(),);"
        "Site(Shelf(Path(sys.argv[1]))).up('sample', note=lambda _: None)"
    )
    subprocess.run((sys.executable, "-c", code, str(tmp_path / "shelf")), check=True, timeout=60, cwd=Path.cwd())
    state = site.state("sample")
    assert state is not None
    assert running(state) == [True]


def test_one_that_is_up_is_not_started_again(site: Site) -> None:
    state = up(site)
    with pytest.raises(AlreadyExists, match=f"sample is up at {state.url}"):
        up(site)


def test_down_ends_it_and_says_so(site: Site) -> None:
    state = up(site, nodes=2)
    assert site.down("sample")
    assert running(state) == [False, False]


def test_one_that_does_not_end_is_killed_with_whoever_left_its_group(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = Launch(("/bin/sh", "-c", f"trap '' TERM; : >up; {FAMILY[2]}"))
    monkeypatch.setattr(Sample, "stop_within_s", 0.0)

    def launch(*_: object) -> Launch:
        return family

    monkeypatch.setattr(SampleKit, "launch", launch)
    state = up(site)
    apart = site.folder("sample") / "node0" / "apart"
    wait_for(apart)
    assert site.down("sample")
    assert (running(state), started_at(int(apart.read_text()))) == ([False], 0)


def test_down_twice_ends_nothing(site: Site) -> None:
    up(site)
    site.down("sample")
    assert not site.down("sample")


def test_down_of_what_was_never_up_ends_nothing(site: Site) -> None:
    assert not site.down("sample")


def test_a_paused_one_is_ended(site: Site) -> None:
    state = up(site)
    os.kill(state.processes[0].pid, signal.SIGSTOP)
    assert site.down("sample")
    assert running(state) == [False]


def test_up_after_down_has_the_same_files_and_ports(site: Site) -> None:
    before = up(site)
    (site.folder("sample") / "node0" / "kept").touch()
    site.down("sample")
    after = up(site)
    assert after.ports == before.ports
    assert (site.folder("sample") / "node0" / "kept").exists()


def test_another_number_of_nodes_begins_anew(site: Site) -> None:
    up(site)
    (site.folder("sample") / "node0" / "kept").touch()
    site.down("sample")
    assert len(up(site, nodes=2).hosts) == 2
    assert not (site.folder("sample") / "node0" / "kept").exists()


def test_what_a_release_left_that_knew_other_ports_begins_anew(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    up(site)
    site.down("sample")
    monkeypatch.setattr(Sample, "ports", (*Sample.ports, "another"))
    assert list(up(site).ports[0]) == list(Sample.ports)


def test_forgetting_deletes_what_it_wrote(site: Site) -> None:
    up(site)
    site.down("sample", forget=True)
    assert not site.folder("sample").exists()
    assert site.state("sample") is None


def test_one_that_ends_at_once_is_told_with_what_it_printed(site: Site) -> None:
    with pytest.raises(Unavailable, match="node 0 begins"):
        up(site, works="no")


def test_one_that_fails_leaves_no_process(site: Site) -> None:
    with pytest.raises(Unavailable):
        up(site, nodes=2, works="no")
    state = site.state("sample")
    assert state is not None
    assert running(state) == [False, False]


def test_logs_are_by_node(site: Site) -> None:
    up(site, nodes=2)
    for number in (0, 1):
        wait_until(f"[ -s '{site.folder('sample')}/node{number}/server.log' ]")
    assert site.logs("sample", 5) == [(0, "node 0 begins"), (1, "node 1 begins")]


def test_what_was_never_up_has_no_logs(site: Site) -> None:
    with pytest.raises(NotFound, match="never up"):
        site.logs("sample", 5)


def test_a_damaged_state_is_told(site: Site) -> None:
    site.folder("sample").mkdir(parents=True)
    path = site.folder("sample") / "state.json"
    path.write_text("{")
    with pytest.raises(DataLoss, match=r"state\.json cannot be read"):
        site.state("sample")
    path.unlink()


def test_a_number_given_to_another_process_is_not_taken_for_it() -> None:
    mine = started_at(os.getpid())
    assert Process(os.getpid(), mine).running
    assert not Process(os.getpid(), mine - 1).running


def test_a_process_that_never_was_does_not_run() -> None:
    assert started_at(2**22 + 1) == 0
