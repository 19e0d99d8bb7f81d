"""Roles: what the processes of a stage do besides answering calls, and which of them does it.

A system contributes roles by its module `roles`, with `ROLES`, a list of `Role`. `soundstage up` runs all of them
in one process; `processes.roles` chooses, `processes.workers` gives some to child processes, and those that need
no more than a client can be run on other hosts by `soundstage agent`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument
from soundstage.core.names import nearest
from soundstage.core.operation import Invoker
from soundstage.runtime.leases import Lease

Kind: TypeAlias = Literal["every", "one", "partitioned"]

Needs: TypeAlias = Literal["ports", "client"]

HTTP = "http"
"""The role that answers calls over HTTP; it is the surface's, and known here by its name alone."""

DOORS = "doors"
"""The role that opens the doors of the stage file. One process has it: their listeners are not shared."""

TABLES = "tables"
"""The upkeep of columnar tables, which workers leave to the process that started them."""

CONTROL = "control"
"""What every process does whatever its roles: it follows namespaces, tokens and keys."""


class RoleContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a role is given. `invoker` carries calls: `face(context.invoker, namespace)` is a typed client.

    `service` is the started service of the role's own system, for roles that need ports. `lease` is held for roles
    of the kinds `one` and `partitioned`: put its `fence` in what is written elsewhere, and `check` before what cannot
    be taken back. `partition` is the one to work on.
    """

    environment: Environment
    invoker: Invoker
    service: Any = None
    lease: Lease | None = None
    partition: str = ""

    def check(self) -> None:
        """Raise `LeaseLost` once another process may have the role."""
        if self.lease is not None:
            self.lease.check()


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """Work that goes on until it is cancelled; `run` is begun again, ever more slowly, when it fails or ends.

    `every` process with the role runs it; or `one` of all processes at a time; or each of `partitions` is run by
    one process at a time, shared evenly. A role that needs `ports` runs where the engines can be reached, one that
    needs a `client` anywhere, but in no other kind than `every`: leases are kept in the engines.
    """

    name: str
    run: Callable[[RoleContext], Awaitable[None]]
    kind: Kind = "every"
    needs: Needs = "ports"
    partitions: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.needs == "client" and self.kind != "every":
            raise ValueError(f"the role {self.name!r} needs a client only, so that no lease can make it {self.kind!r}")
        if bool(self.partitions) and self.kind != "partitioned":
            raise ValueError(f"the role {self.name!r} has partitions and is not of the kind 'partitioned'")


def check_roles(names: Iterable[str], known: Iterable[str], field: str) -> None:
    """Raises `InvalidArgument` for the first of `names` that is no role, with the nearest one."""
    roles = sorted(set(known))
    for name in names:
        if name not in roles:
            close = nearest(name, roles)
            hint = f"did you mean {close!r}?" if close else f"roles are {', '.join(roles)}"
            raise InvalidArgument(f"there is no role {name!r}", field=field, hint=hint)
