from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.sample import Sample
from tests.servers.test_standing import kinds, quiet

from soundstage.core.errors import NotFound
from soundstage.servers.commands import install_server, list_servers
from soundstage.servers.shelf import Shelf
from soundstage.servers.standing import Site

__all__ = ["kinds"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(Shelf(tmp_path / "shelf"))
    yield made
    made.down("sample")


def test_what_was_never_up_is_listed_with_its_settings(site: Site) -> None:
    (listed,) = list_servers(site=site).servers
    assert (listed.name, listed.running, listed.nodes, listed.ready, listed.url) == ("sample", 0, 0, False, "")
    assert listed.settings == Sample().settings


def test_the_list_touches_nothing(site: Site) -> None:
    assert list_servers(site=site).folder == str(site.shelf.folder)
    assert not site.shelf.folder.exists()


def test_what_is_up_is_listed_as_ready(site: Site) -> None:
    state = site.up("sample", nodes=2, note=quiet)
    (listed,) = list_servers(["sample"], site).servers
    assert (listed.running, listed.nodes, listed.ready, listed.url) == (2, 2, True, state.url)
    assert listed.ports == state.ports


def test_one_that_does_not_answer_is_not_ready(site: Site) -> None:
    site.up("sample", note=quiet)
    (site.folder("sample") / "node0" / "up").unlink()
    (listed,) = list_servers(site=site).servers
    assert (listed.running, listed.ready) == (1, False)


def test_what_is_down_has_no_address(site: Site) -> None:
    site.up("sample", note=quiet)
    site.down("sample")
    (listed,) = list_servers(site=site).servers
    assert (listed.running, listed.nodes, listed.ready, listed.url, listed.ports) == (0, 1, False, "", [])


def test_an_unknown_name_is_refused(site: Site) -> None:
    with pytest.raises(NotFound):
        list_servers(["no"], site)


def test_installing_tells_what_it_does(tmp_path: Path) -> None:
    told: list[str] = []
    installed = install_server("sample", told.append, Shelf(tmp_path))
    assert (installed.name, installed.version, told) == ("sample", "1", ["installing the sample"])
