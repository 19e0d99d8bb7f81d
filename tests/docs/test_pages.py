"""The pages hang together: one title each, links that lead somewhere, all of them in the navigation."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
NOT_IN_THE_NAVIGATION = {"decisions/template.md"}

FENCED = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text())


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def navigation(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            if isinstance(value, str):
                yield value
            else:
                yield from navigation(value)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_has_one_title(page: Path) -> None:
    assert len(re.findall(r"^# ", prose(page), re.MULTILINE)) == 1


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_and_sections_that_exist(page: Path) -> None:
    broken: list[str] = []
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_do_not_leave_the_docs(page: Path) -> None:
    """The site is built from docs/ alone."""
    if not page.is_relative_to(DOCS):
        return
    links = [link.partition("#")[0] for link in LINK.findall(prose(page)) if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in links if not (page.parent / link).resolve().is_relative_to(DOCS)] == []


def test_every_page_is_in_the_navigation() -> None:
    project = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    listed = set(navigation(project["nav"]))
    assert listed == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} - NOT_IN_THE_NAVIGATION


def test_every_decision_is_listed_and_has_the_templates_sections() -> None:
    folder = DOCS / "decisions"
    index = (folder / "index.md").read_text()
    sections = re.findall(r"^## .+$", (folder / "template.md").read_text(), re.MULTILINE)
    for page in folder.glob("[0-9]*.md"):
        assert f"]({page.name})" in index
        assert re.findall(r"^## .+$", page.read_text(), re.MULTILINE) == sections
