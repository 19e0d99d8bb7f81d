"""Servers written in Python: wheels from PyPI in a folder of ours, which no environment of Python knows of.

They are those that a list of this package names, with the digests of all their files; pip takes no other.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from soundstage.core.errors import Unavailable
from soundstage.servers.programs import Toolbox

_OPTIONS = (
    "--no-deps",
    "--require-hashes",
    "--only-binary",
    ":all:",
    "--no-input",
    "--disable-pip-version-check",
    "-q",
)


@dataclass(frozen=True)
class Wheels:
    """A folder of unpacked wheels, and the interpreter that they were brought for."""

    folder: Path
    python: str

    @property
    def variables(self) -> Mapping[str, str]:
        """What makes the interpreter find them, and nothing else of the caller's."""
        return {"PYTHONPATH": str(self.folder), "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def wheels(name: str, listed: str, toolbox: Toolbox) -> Wheels:
    """The packages of the list `listed` of this package, which `uv pip compile` has written.

    It did so with `--universal --generate-hashes --no-header --no-annotate`: a comment would tell where it ran.

    Raises `Unavailable` without a pip, without network, and for files with other digests than the list has.
    """
    text = files("soundstage.servers.kinds").joinpath(listed).read_text("utf-8")
    release = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]

    def install(folder: Path) -> None:
        work = toolbox.work(folder.parent)
        work.folder.mkdir(parents=True, exist_ok=True)
        wanted = work.folder / "wanted.txt"
        wanted.write_text(text, "utf-8")
        command = (*installer(), *_OPTIONS, "--target", str(folder), "-r", str(wanted))
        work.run(f"downloading {name} from PyPI", command, {"TMPDIR": str(work.folder), "NO_COLOR": "1"})

    place = toolbox.shelf.bring(f"{name}-{digest}-python{release}", install, toolbox.note)
    return Wheels(place, sys.executable)


def installer() -> tuple[str, ...]:
    """The command that installs wheels: the pip of this interpreter, else one of the PATH told to work for it."""
    if importlib.util.find_spec("pip") is not None:
        return (sys.executable, "-m", "pip", "install")
    if pip := shutil.which("pip") or shutil.which("pip3"):
        return (pip, "--python", sys.executable, "install")
    raise Unavailable(
        "no pip was found: neither in this interpreter nor on the PATH",
        hint=f"run `{sys.executable or 'python3'} -m ensurepip`, `uv pip install pip`, or install python3-pip",
        retryable=False,
    )
