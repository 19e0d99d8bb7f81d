"""What a package says it exports is there, in order, and documented."""

from __future__ import annotations

import ast
import importlib
import inspect
from types import ModuleType

import pytest
from tests.architecture.source import PACKAGE, Module, modules

import soundstage


def declares_all(module: Module) -> bool:
    return any(
        isinstance(target, ast.Name) and target.id == "__all__"
        for node in module.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    )


EXPORTING = [module.name for module in modules() if declares_all(module)]


def undocumented(module: ModuleType) -> list[str]:
    public = {name: getattr(module, name) for name in module.__all__}
    return [
        name
        for name, value in public.items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and not inspect.getdoc(value)
    ]


@pytest.mark.parametrize("name", EXPORTING)
def test_exports_are_sorted_and_unique(name: str) -> None:
    exported = list(importlib.import_module(name).__all__)
    # Constants first, as ruff has it.
    assert exported == sorted(set(exported), key=lambda export: (not export.isupper(), export))


@pytest.mark.parametrize("name", EXPORTING)
def test_exports_exist(name: str) -> None:
    module = importlib.import_module(name)
    assert [export for export in module.__all__ if not hasattr(module, export)] == []


@pytest.mark.parametrize("name", EXPORTING)
def test_exports_are_documented(name: str) -> None:
    assert undocumented(importlib.import_module(name)) == []


def test_a_name_that_is_not_exported_is_refused() -> None:
    name = "no_such_name"
    with pytest.raises(AttributeError, match=name):
        getattr(soundstage, name)


def test_dir_lists_the_exports_before_they_are_loaded() -> None:
    assert set(soundstage.__all__) <= set(dir(soundstage))


def test_every_package_is_marked_as_one() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [str(folder.relative_to(PACKAGE)) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_module_says_what_it_is() -> None:
    assert [module.name for module in modules() if module.text.strip() and not ast.get_docstring(module.tree)] == []
