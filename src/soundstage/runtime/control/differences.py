"""What a declaration would change of a namespace."""

from __future__ import annotations

from typing import Any, cast

from soundstage.core.namespace import NamespaceInfo
from soundstage.core.plain import plain
from soundstage.runtime.control.declaration import Declared


def differences(info: NamespaceInfo, declared: Declared) -> list[str]:
    """The dotted paths of what `declared` would change."""
    old, new = (
        _parts(info.engines, info.config, info.slos, info.quotas),
        _parts(declared.engines, declared.knobs, declared.slos, declared.quotas),
    )
    differing = [path for path in {**old, **new} if old.get(path) != new.get(path)]
    if info.abstraction != declared.spec.abstraction:
        differing.append("abstraction")
    return differing


def _parts(engines: Any, config: Any, slos: Any, quotas: Any) -> dict[str, Any]:
    """Leaves by dotted path; structs that were read strictly compare equal to those that were not."""
    tree = plain({"engines": engines, "config": config, "slos": slos, "quotas": quotas})
    leaves: dict[str, Any] = {}

    def descend(value: Any, path: str) -> None:
        if isinstance(value, dict) and value:
            for name, inner in cast("dict[str, Any]", value).items():
                descend(inner, f"{path}.{name}" if path else name)
        elif value is not None and value != {}:
            leaves[path] = value

    descend(tree, "")
    return leaves
