"""Secrets that engines are let in by: in files or environment variables, so that no URL has to hold one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeAlias

from msgspec import Meta

from soundstage.core.errors import InvalidArgument, Unauthenticated

Variable: TypeAlias = Annotated[str, Meta(pattern="^[A-Z_][A-Z0-9_]{0,127}$")]
"""The name of an environment variable, in capitals: what stands there by mistake, such as the secret, rarely fits."""

PLACES = "`password_file` or `password_env`"


def secret_from(file: str | None, variable: str | None) -> str:
    """The secret that a file or an environment variable has, whichever is named; see `secret_in`.

    It is read anew each time. Raises `InvalidArgument` when neither or both are named, and `Unauthenticated` when
    there is no secret; neither error has any of it.
    """
    if (file is None) == (variable is None):
        raise InvalidArgument(
            "a user needs a password" if file is None else "the password is in a file and in a variable",
            field="password_file",
            hint=f"name its place by one of {PLACES}, or in the URL: ?password_env=NAME",
        )
    if file is not None:
        return secret_in(file)
    found = os.environ.get(variable or "", "").strip()
    if not found:
        raise Unauthenticated(
            f"the environment variable {variable} with the secret is not set, or is empty",
            hint="set it for the process of the stage, or correct its name in password_env",
        )
    return found


def secret_in(path: str) -> str:
    """The first line of a file, without spaces around it. Raises `Unauthenticated` when there is none to read."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        # Its own words have bytes of the file.
        raise Unauthenticated(
            f"the file with the secret, {path}, cannot be read: it is no text", hint="check the path in password_file"
        ) from None
    except (OSError, ValueError) as error:
        raise Unauthenticated(
            f"the file with the secret cannot be read: {error}", hint="check the path in password_file"
        ) from None
    if not lines or not lines[0].strip():
        raise Unauthenticated(f"the file with the secret, {path}, is empty", hint="put the secret on its first line")
    return lines[0].strip()
