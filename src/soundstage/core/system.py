"""What the catalogue says of one system, as literals, so that listing fifty systems imports none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from soundstage.core.errors import InvalidArgument

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class System(msgspec.Struct, frozen=True):
    """One line of the catalogue.

    `name` is folder, URL segment, CLI noun and docs page. `path` is the package to import on first use;
    its modules `api`, `config` and `service` follow the shape that `docs/add-a-system.md` describes.
    `doors` are the kinds of door that its module `doors` opens; see `docs/doors.md`.
    """

    name: str
    path: str
    summary: str
    number: int | None = None
    stability: Literal["experimental", "beta", "stable"] = "experimental"
    extra: str | None = None
    uses: tuple[str, ...] = ()
    simulated: bool = True
    doors: tuple[str, ...] = ()


def system_of(point: EntryPoint) -> System:
    """The system that an installed package adds. Raises `InvalidArgument` that names the package's entry point."""
    # A package may raise whatever it likes: the others work all the same.
    try:
        found: Any = point.load()
    except Exception as error:
        raise _missing(point, f"{type(error).__name__}: {error}") from error
    if not isinstance(found, System):
        raise _missing(point, f"it is no System but {type(found).__name__}")
    return found


def _missing(point: EntryPoint, why: str) -> InvalidArgument:
    return InvalidArgument(
        f"the system {point.value!r} of an installed package is missing: {' '.join(why.split())}",
        hint="mend the package, or uninstall it",
    )
