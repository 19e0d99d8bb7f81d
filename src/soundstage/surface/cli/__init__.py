"""The command line: `soundstage <system> <operation>`, and the commands around a stage.

Nothing but the list of commands is loaded before it is known what is wanted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_BROKEN_PIPE = 141
"""What a shell reports for a program that SIGPIPE ended."""

_INTERRUPTED = 130
"""The same for SIGINT."""


def main() -> None:
    """Run `soundstage` with the arguments of the process and exit with its code."""
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        # It came while the command was being loaded.
        code = _INTERRUPTED
    except BrokenPipeError:
        # Whoever read has enough; the interpreter would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = _BROKEN_PIPE
    sys.exit(code)


def _run(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h"):
        from soundstage.surface.cli.commands import front_page

        print(front_page(), end="")
        return 0
    if arguments[0] == "--version":
        from soundstage import __version__

        print(f"soundstage {__version__}")
        return 0
    from soundstage.surface.cli.root import run

    return run(arguments)
