"""A machine for the scripts to run on: a PATH of its own whose python, pip, uv, apt, sudo and cc are stand-ins.

The stand-ins do what the real ones would do to the file system and write down what they were asked. What the machine
lacks is said by flag files, so that a stand-in can mend it (`apt-get install python3-venv` removes `no-venv`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ["cat", "chmod", "cut", "dirname", "env", "ln", "mkdir", "mktemp", "rm", "sed", "sh", "sort", "tr"]

STAND_IN = f"""#!{sys.executable} -S
import os, shutil, sys
from pathlib import Path

machine = Path(os.environ["MACHINE"])
program, *asked = sys.argv
here = Path(program).resolve().parent

def lacks(flag):
    return (machine / flag).exists()

def note(*words):
    with (machine / "calls").open("a") as calls:
        calls.write(" ".join(words) + "\\n")

def refuse(reason):
    sys.exit(reason)

def make_venv(venv, with_pip):
    shutil.rmtree(venv, ignore_errors=True)
    (venv / "bin").mkdir(parents=True)
    shutil.copy(machine / "bin" / "python3", venv / "bin" / "python")
    if with_pip:
        (venv / "pip").touch()

def install(venv, packages):
    (venv / "pip").touch()
    if "-e" in packages:
        shutil.copy(machine / "soundstage", venv / "bin" / "soundstage")
"""

PYTHON = f"""{STAND_IN}
def run_venv(options):
    with_pip = "--without-pip" not in options
    note("venv", "by=" + Path(program).name, *options)
    make_venv(Path(options[-1]), with_pip and not lacks("no-venv"))
    if with_pip and lacks("no-venv"):
        refuse("ensurepip is not available")

def run_pip(options):
    has_pip = not lacks("no-pip") if here == machine / "bin" else (here.parent / "pip").exists()
    venv = here.parent
    if not has_pip:
        refuse("No module named pip")
    if options[0] == "--python":
        venv, options = Path(options[1]).parent.parent, options[2:]
    if options == ["--version"]:
        return
    if lacks("no-index"):
        refuse("the index cannot be reached")
    note("pip", *options)
    install(venv, options)

match asked:
    case ["-m", "venv", *options]:
        run_venv(options)
    case ["-m", "pip", *options]:
        run_pip(options)
    case ["-c", "import ensurepip"]:
        sys.exit(lacks("no-venv"))
    case ["-c", code] if "version_info" in code and lacks("old-python"):
        sys.exit(1)
    case ["-c", code] if "_base_executable" in code:
        print(program if here == machine / "bin" else machine / "bin" / "python3")
    case _:
        os.execv("{sys.executable}", ["python", *asked])
"""

UV = f"""{STAND_IN}
match asked:
    case ["--version"]:
        sys.exit(lacks("no-uv"))
    case ["venv", *options]:
        note("uv venv")
        make_venv(Path(options[-1]), with_pip=False)
    case ["pip", "install", *options]:
        if lacks("no-index") or lacks("no-certificates") and os.environ.get("UV_SYSTEM_CERTS") != "true":
            refuse("the index cannot be reached")
        note("uv pip", *options)
        install(Path(options[options.index("-p") + 1]).parent.parent, options)
    case _:
        sys.exit(1)
"""

PROGRAM = """#!/bin/sh
echo "ran soundstage $*"
exit "${EXIT:-0}"
"""

APT = """#!/bin/sh
echo apt-get "$@" >>"$MACHINE/calls"
case "$*" in *python3-venv*) rm -f "$MACHINE/no-venv" ;; esac
case "$*" in *gcc*) rm -f "$MACHINE/no-compiler" ;; esac
case "$*" in *curl*) rm -f "$MACHINE/no-curl" ;; esac
"""

PRIVATE_APT = """#!/bin/sh
echo apt-get "$@" >>"$MACHINE/calls"
for word; do
    [ "$word" != install ] || printf "'http://archive/%s_1.deb' %s_1.deb 1\\n" gcc gcc libgcc libgcc
    [ -z "${downloading:-}" ] || : >"$word.deb"
    [ "$word" != download ] || downloading=yes
done
"""
"""What an ordinary user may ask of apt: lists of one's own, names, files."""

DPKG_DEB = """#!/bin/sh
mkdir -p "$3/usr/bin"
name=${2##*/}
printf '#!/bin/sh\\necho "$@" >"$MACHINE/compiled"\\n' >"$3/usr/bin/${name%.deb}"
chmod +x "$3/usr/bin/${name%.deb}"
"""

SUDO = """#!/bin/sh
[ "$1" = -n ] || exit 1
shift
echo sudo "$@" >>"$MACHINE/calls"
[ "$1" = true ] || MACHINE_UID=0 "$@"
"""

COMPILER = """#!/bin/sh
[ ! -e "$MACHINE/no-compiler" ]
"""

CURL = """#!/bin/sh
[ ! -e "$MACHINE/no-curl" ]
"""


@dataclass(frozen=True)
class Result:
    """How a script ended and what it printed."""

    status: int
    out: str
    err: str


class Machine:
    """A checkout with the project's scripts, and the PATH they see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkout = folder / "checkout"
        self.venv = self.checkout / ".venv"
        shutil.copytree(ROOT / "script", self.checkout / "script")
        (self.checkout / "requirements.lock").write_text("one==1\n")
        (self.checkout / "pyproject.toml").write_text("[project]\n")
        (self.checkout / "script" / "run_suites.py").write_text("import sys\nprint('ran suites', *sys.argv[1:])\n")
        (folder / "bin").mkdir()
        for tool in TOOLS:
            (folder / "bin" / tool).symlink_to(str(shutil.which(tool)))
        self.put("python3", PYTHON)
        self.put("id", '#!/bin/sh\necho "${MACHINE_UID:-1000}"\n')
        self.put("cc", COMPILER)
        self.put("curl", CURL)
        (folder / "soundstage").write_text(PROGRAM)
        (folder / "soundstage").chmod(0o755)

    def put(self, name: str, script: str) -> None:
        """The machine has the program `name`."""
        path = self.folder / "bin" / name
        path.write_text(script)
        path.chmod(0o755)

    def lacks(self, *flags: str) -> None:
        for flag in flags:
            (self.folder / flag).touch()

    def start(self, script: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.folder / "bin" / "sh"), str(self.checkout / "script" / script), *arguments],
            env={
                "PATH": str(self.folder / "bin"),
                "HOME": str(self.folder),
                "TMPDIR": str(self.folder),
                "MACHINE": str(self.folder),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *arguments: str, **environment: str) -> Result:
        with self.start(script, *arguments, **environment) as process:
            out, err = process.communicate(timeout=60)
        return Result(process.returncode, out, err)

    def calls(self) -> list[str]:
        """What the stand-ins were asked to do since the last look, in order."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line.replace(f"{self.checkout}{os.sep}", "") for line in lines]
