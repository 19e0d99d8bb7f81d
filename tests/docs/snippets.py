"""Fenced code of the pages, read and run as a reader would: page by page, from top to bottom, in one folder.

- `python` blocks of a page share one namespace; those that `await` at the top share one event loop. Lines `# > text`
  say what the block prints.
- `sh` blocks run line by line with the project's programs on PATH; each line must succeed. A line that ends in `&`
  starts a server, which is waited for until it says `ready` and is stopped with the page.
- A block with a title is written to a file of that name first, and run only if it is Python. One whose title has a
  folder is a module of a package: it is not run, and the blocks below it import it.
- A comment `<!-- snippet: no-run -->` before a block leaves it out; its Python must compile all the same.

The port 7777 stands for a free one.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import inspect
import io
import os
import random
import re
import signal
import subprocess
import sys
from codeop import CommandCompiler
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any, Self

from soundstage.servers.ports import free_port

FENCE = re.compile(
    r"(?:<!-- snippet: (?P<marker>[\w-]+) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<code>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
PRINTS = "# >"
PORT = "7777"
READY_SECONDS = 60
LINE_SECONDS = 120


@dataclass(frozen=True)
class Snippet:
    """One fenced block and where it stands."""

    page: Path
    line: int
    language: str
    code: str
    title: str | None
    marker: str | None

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def runs(self) -> bool:
        return self.marker != "no-run" and "/" not in (self.title or "")

    def expected_output(self) -> list[str]:
        return [line.removeprefix(PRINTS).strip() for line in self.code.splitlines() if line.startswith(PRINTS)]


def snippets(page: Path) -> list[Snippet]:
    """The fenced blocks of a page in their order."""
    text = page.read_text()
    return [
        Snippet(
            page=page,
            line=text.count("\n", 0, match.start("code")) + 1,
            language=match["language"],
            code=re.sub(f"^{match['indent']}", "", match["code"], flags=re.MULTILINE),
            title=match["title"],
            marker=match["marker"],
        )
        for match in FENCE.finditer(text)
    ]


def compiled(snippet: Snippet, code: str) -> CodeType:
    # Blank lines before it make tracebacks point into the page.
    padded = "\n" * (snippet.line - 1) + code
    return compile(padded, str(snippet.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def awaits(code: str) -> bool:
    """Whether only a prompt that awaits at the top takes `code`."""
    return bool(compile(code, "<block>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT).co_flags & inspect.CO_COROUTINE)


def refused_line(code: str) -> str | None:
    """The line at which `python -m asyncio` refuses `code`, pasted as it stands with an empty line behind it.

    To such a prompt an empty line ends a block, and nothing else does.
    """
    compiler = CommandCompiler()
    compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    statement: list[str] = []
    for line in [*code.splitlines(), ""]:
        statement.append(line)
        try:
            if compiler("\n".join(statement)) is not None:
                statement.clear()
        except SyntaxError:
            return line
    return statement[0] if any(statement) else None


class Page:
    """One page being read; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Not one that the system gives to whoever asks for any, in the meantime.
        self.port = str(free_port(["127.0.0.1"], random.Random(), set()))
        self.namespace: dict[str, Any] = {"__name__": "__page__"}
        self.servers: list[subprocess.Popen[bytes]] = []
        self.runner = asyncio.Runner()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SOUNDSTAGE_")},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "SOUNDSTAGE_HTTP__PORT": self.port,
            "COLUMNS": "120",
        }

    def __enter__(self) -> Self:
        sys.path.insert(0, str(self.folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.runner.close()
        self.forget_modules()
        for server in self.servers:
            server.send_signal(signal.SIGTERM)
        for server in self.servers:
            server.wait(READY_SECONDS)

    def forget_modules(self) -> None:
        """The next page finds none of the modules that this one wrote."""
        sys.path.remove(str(self.folder))
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(str(self.folder)):
                del sys.modules[name]

    def check(self, snippet: Snippet) -> None:
        """The block did what the page says it does."""
        code = snippet.code.replace(PORT, self.port)
        if snippet.title:
            path = self.folder / snippet.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
            importlib.invalidate_caches()
        if snippet.language == "python":
            program = compiled(snippet, code)
            if snippet.runs:
                self.run_python(snippet, program)
        elif snippet.language == "sh" and snippet.runs:
            for line in shell_lines(code):
                self.run_line(snippet, line)

    def run_python(self, snippet: Snippet, program: CodeType) -> None:
        printed = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
            result = eval(program, self.namespace)
            if inspect.iscoroutine(result):
                self.runner.run(result)
        expected = snippet.expected_output()
        if expected:
            assert printed.getvalue().splitlines() == expected, snippet.place

    def run_line(self, snippet: Snippet, line: str) -> None:
        if line.endswith("&"):
            self.start_server(snippet, line.removesuffix("&").strip())
            return
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LINE_SECONDS,
        )
        assert done.returncode == 0, f"{snippet.place}: {line}\n{done.stdout}{done.stderr}"

    def start_server(self, snippet: Snippet, line: str) -> None:
        output = self.folder / f"server-{len(self.servers)}.log"
        with output.open("wb") as log:
            server = subprocess.Popen(
                ["sh", "-c", f"exec {line}"], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        self.servers.append(server)
        for _ in range(READY_SECONDS * 20):
            if "ready" in output.read_text():
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.05)
                break
        raise AssertionError(f"{snippet.place}: {line} ended or never got ready\n{output.read_text()}")


def shell_lines(code: str) -> Iterator[str]:
    """The commands of a block: lines joined at a trailing backslash, without comments and prompts."""
    for line in code.replace("\\\n", " ").splitlines():
        command = line.removeprefix("$ ").strip()
        if command and not command.startswith("#"):
            yield command
