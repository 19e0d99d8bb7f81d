"""What the catalogue says of one system, as literals, so that listing fifty systems imports none."""

from __future__ import annotations

from typing import Literal

import msgspec


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
