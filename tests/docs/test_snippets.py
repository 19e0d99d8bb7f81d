"""What the pages show, runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from tests.docs.snippets import Page, Snippet, awaits, refused_line, snippets

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").rglob("*.md")])
PASTED = "`python -m asyncio`"
"""How a page says where its blocks that await at the top are to be pasted."""

LANGUAGES = {"python", "sh", "toml", "json", "text", "http", "yaml"}


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_page_does_what_it_shows(page: Path, tmp_path: Path) -> None:
    with Page(tmp_path) as reading:
        for snippet in snippets(page):
            reading.check(snippet)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_fence_is_understood(page: Path) -> None:
    found = snippets(page)
    assert page.read_text().count("```") == 2 * len(found)
    assert {snippet.language for snippet in found} <= LANGUAGES
    assert {snippet.marker for snippet in found} <= {None, "no-run"}
    assert [snippet.place for snippet in found if re.search("^ *#>", snippet.code, re.MULTILINE)] == [], "write # >"


@pytest.mark.parametrize("page", [page for page in PAGES if PASTED in page.read_text()], ids=name)
def test_what_awaits_at_the_top_can_be_pasted_where_the_page_says_so(page: Path) -> None:
    blocks = [each for each in snippets(page) if each.language == "python" and each.title is None]
    assert any(awaits(each.code) for each in blocks)
    # Classes are laid out for a file.
    refused = {each.place: refused_line(each.code) for each in blocks if "\nclass " not in each.code}
    assert [(place, line) for place, line in refused.items() if line is not None] == []


def test_the_first_page_says_where_to_paste() -> None:
    assert PASTED in (ROOT / "docs" / "quickstart.md").read_text()


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("x = 1\nawait x\n", None),
        ("async with x as y:\n    await y\n\nprint(1)\n", None),
        ("async with x as y:\n    await y\n# > 1\n", None),
        ("async with x as y:\n    a = 1\n\n    await y\n", "    await y"),
        ("async with x as y:\n    await y\nprint(1)\n", "print(1)"),
        ("x = (\n", "x = ("),
    ],
)
def test_a_prompt_takes_statements_one_by_one(code: str, line: str | None) -> None:
    assert refused_line(code) == line


def check_page(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with Page(tmp_path) as reading:
        for snippet in snippets(page):
            reading.check(snippet)


def test_a_failing_snippet_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        check_page(tmp_path, "```python\n1 / 0\n```\n")


def test_blocks_share_a_namespace_and_a_loop(tmp_path: Path) -> None:
    check_page(
        tmp_path,
        "```python\nimport asyncio\nasync def current(): return asyncio.get_running_loop()\n```\n\n"
        "```python\nloop = await current()\n```\n\n```python\nassert loop is await current()\n```\n",
    )


def test_a_block_without_await_may_run_a_loop_of_its_own(tmp_path: Path) -> None:
    check_page(tmp_path, "```python\nimport asyncio\nasync def main(): print(1)\nasyncio.run(main())\n# > 1\n```\n")


def test_another_output_than_the_page_says_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"page\.md:2"):
        check_page(tmp_path, "```python\nprint(1)\n# > 2\n```\n")


def test_the_output_the_page_says_passes(tmp_path: Path) -> None:
    check_page(tmp_path, "```python\nprint(1)\n# > 1\nprint('a b')\n# > a b\n```\n")


def test_a_failing_command_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="false"):
        check_page(tmp_path, "```sh\ntrue\nfalse\n```\n")


def test_a_title_is_a_file_for_what_follows(tmp_path: Path) -> None:
    check_page(tmp_path, '```toml title="a.toml"\nx = 1\n```\n\n```sh\ngrep -q "x = 1" a.toml\n```\n')


PACKAGE = """```python title="shapes/square.py"
import shapes
SIDES = 4
```

```python title="shapes/__init__.py"
```

```python
from shapes.square import SIDES
assert SIDES == 4
```
"""


def test_a_title_with_a_folder_is_a_module_for_what_follows(tmp_path: Path) -> None:
    check_page(tmp_path, PACKAGE)


def test_modules_and_their_path_are_gone_with_the_page(tmp_path: Path) -> None:
    before = list(sys.path)
    check_page(tmp_path, PACKAGE)
    assert "shapes" not in sys.modules
    assert sys.path == before


def test_a_block_that_is_not_run_must_compile(tmp_path: Path) -> None:
    check_page(tmp_path, "<!-- snippet: no-run -->\n```python\n1 / 0\n```\n")
    with pytest.raises(SyntaxError):
        check_page(tmp_path, "<!-- snippet: no-run -->\n```python\n1 /\n```\n")


def test_a_server_that_never_gets_ready_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="never got ready"):
        check_page(tmp_path, "```sh\nsh -c 'echo starting' &\n```\n")


def test_a_server_is_stopped_with_its_page(tmp_path: Path) -> None:
    check_page(tmp_path, "```sh\nsh -c 'echo $$ >pid; echo ready; exec sleep 600' &\n```\n")
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_an_indented_block_is_read_without_its_indent(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("1. text\n\n    ```python\n    x = 1\n    ```\n")
    assert snippets(page) == [Snippet(page, 4, "python", "x = 1\n", None, None)]
