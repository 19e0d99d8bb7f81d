"""The project's own files as the tidy tests read them: parsed once, named as Python imports them."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "soundstage"
TESTS = ROOT / "tests"


@dataclass(frozen=True)
class Module:
    """One Python file. `name` is dotted for what is under src, else the path from the root."""

    path: Path

    @property
    def name(self) -> str:
        if not self.path.is_relative_to(SOURCE):
            return self.path.relative_to(ROOT).as_posix() if self.path.is_relative_to(ROOT) else self.path.as_posix()
        parts = self.path.relative_to(SOURCE).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All that is in it, in no order that means anything."""
        return tuple(ast.walk(self.tree))

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in self.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def classes(self) -> Iterator[ast.ClassDef]:
        for node in self.nodes:
            if isinstance(node, ast.ClassDef):
                yield node

    def comments(self) -> Iterator[tuple[int, str]]:
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string

    def imports(self) -> Iterator[tuple[str, int]]:
        """Every imported module with its line, those inside functions too; not those only for type checking."""
        yield from self._imported

    @cached_property
    def _imported(self) -> tuple[tuple[str, int], ...]:
        return tuple(_imports(self.tree))

    def calls(self) -> Iterator[tuple[str, int]]:
        """Dotted names of the imported things that are called, whatever their alias, and the lines."""
        aliases = dict(self._aliases())
        for node in self.nodes:
            if isinstance(node, ast.Call) and (name := dotted(node.func)):
                first, _, rest = name.partition(".")
                if origin := aliases.get(first):
                    yield (f"{origin}.{rest}" if rest else origin), node.lineno

    def _aliases(self) -> Iterator[tuple[str, str]]:
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for item in node.names:
                    yield (
                        item.asname or item.name.partition(".")[0],
                        item.name if item.asname else item.name.partition(".")[0],
                    )
            elif isinstance(node, ast.ImportFrom) and node.module:
                for item in node.names:
                    yield item.asname or item.name, f"{node.module}.{item.name}"


def dotted(node: ast.expr) -> str:
    """`a.b.c` for an attribute chain that starts at a name, else the empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (parent := dotted(node.value)):
        return f"{parent}.{node.attr}"
    return ""


def _imports(node: ast.AST) -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for item in child.names:
                yield item.name, child.lineno
        elif isinstance(child, ast.ImportFrom):
            yield child.module or "", child.lineno
        elif isinstance(child, ast.If) and dotted(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from _imports(other)
        else:
            yield from _imports(child)


@cache
def modules(folder: Path = PACKAGE) -> tuple[Module, ...]:
    """The Python files under `folder`, sorted by path."""
    return tuple(Module(path) for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts)


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, decorators not counted."""
    return (function.end_lineno or function.lineno) - function.lineno + 1
