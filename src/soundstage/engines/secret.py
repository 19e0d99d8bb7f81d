"""Secrets that engines are let in by: the first lines of files, so that no URL has to hold one."""

from __future__ import annotations

from pathlib import Path

from soundstage.core.errors import Unauthenticated


def secret_in(path: str) -> str:
    """The first line of a file, without spaces around it. Raises `Unauthenticated` when there is none to read."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise Unauthenticated(
            f"the file with the secret cannot be read: {error}", hint="check the path in password_file"
        ) from None
    if not lines or not lines[0].strip():
        raise Unauthenticated(f"the file with the secret, {path}, is empty", hint="put the secret on its first line")
    return lines[0].strip()
