"""Programs out of Debian's packages, unpacked into a folder of ours: nothing of the system is touched.

No package's script runs, so no daemon is started, no user is made, and root and ordinary users get the same. What
those scripts would have done is done here where it matters: links that name a path of the system are turned to the
copy in the folder.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from soundstage.core.errors import Unavailable
from soundstage.servers.work import Work

_FETCHED = re.compile(r"^'[^']*' ([^_\s]+)_", re.MULTILINE)
_TOOLS = ("apt-get", "dpkg-deb")


def unpack(packages: Sequence[str], folder: Path, work: Work) -> None:
    """The packages, and those they depend on that this system has not, are unpacked in `folder`.

    Raises `Unavailable`: without apt, without network, for a package that this release of Debian has not.
    """
    if not all(shutil.which(tool) for tool in _TOOLS):
        raise missing(packages, "this system has no apt")
    apt = _private_apt(work.folder / "apt")
    asked = " ".join(packages)
    work.run("reading the lists of Debian's packages", (*apt, "update"))
    names = {*packages, *_closure(packages, apt, work)}
    archives = work.folder / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    fetching = Work(archives, work.environment, work.note)
    fetching.run(f"downloading {asked} from Debian", (*apt, "download", *sorted(names)))
    for archive in sorted(archives.glob("*.deb")):
        work.run(f"unpacking {archive.name.partition('_')[0]}", ("dpkg-deb", "-x", str(archive), str(folder)))
        archive.unlink()
    turn_links(folder)


def missing(packages: Sequence[str], reason: str) -> Unavailable:
    """The refusal that names what a person would install."""
    return Unavailable(
        f"cannot bring {', '.join(packages)}: {reason}",
        hint=f"install it by hand (Debian, Ubuntu: apt-get install {' '.join(packages)}) and try again",
        retryable=False,
    )


def turn_links(folder: Path) -> None:
    """Absolute links below `folder` lead to their target's copy below it, where there is one."""
    for link in folder.rglob("*"):
        if not link.is_symlink():
            continue
        target = link.readlink()
        copy = folder / str(target).lstrip("/")
        if target.is_absolute() and (copy.exists() or copy.is_symlink()):
            up = Path(*[".."] * (len(link.relative_to(folder).parts) - 1))
            link.unlink()
            link.symlink_to(up / str(target).lstrip("/"))


def library_path(folder: Path) -> str:
    """The folders of shared libraries below `folder`, as LD_LIBRARY_PATH takes them."""
    found = [*folder.glob("usr/lib/*-linux-gnu*"), *folder.glob("lib/*-linux-gnu*")]
    return ":".join(str(path) for path in sorted(found))


def _private_apt(folder: Path) -> tuple[str, ...]:
    """The command apt-get with the system's sources and lists of its own, for whoever runs it."""
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::State::Lists": f"{folder}/lists",
        "Dir::Cache": str(folder),
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "root",
        "APT::Update::Post-Invoke-Success": "",
    }
    return ("apt-get", "-q", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}")))


def _closure(packages: Sequence[str], apt: tuple[str, ...], work: Work) -> list[str]:
    printed = work.run(
        "asking what the packages need",
        (*apt, "install", "--print-uris", "-y", "--no-install-recommends", *packages),
    )
    return _FETCHED.findall(printed)
