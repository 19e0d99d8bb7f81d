"""`soundstage --install-completion`: completion of commands and flags by the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.completion.detect import ShellDetectionError

from soundstage.surface.cli.failure import DONE, usage


def install(
    *,
    shell: Annotated[Literal["bash", "zsh", "fish"] | None, Parameter(help="Which; none: the one in use.")] = None,
    file: Annotated[Path | None, Parameter(help="Where to; none: where the shell looks for it.")] = None,
) -> int:
    """The shell completes `soundstage` from its next start on; prints the file that was written.

    Without `--file`, the start-up file of bash and zsh gets a line that loads it.
    """
    from soundstage.surface.cli.root import root

    try:
        print(root().install_completion(shell=shell, output=file, add_to_startup=file is None))
    except ShellDetectionError:
        raise usage("the shell in use cannot be told", hint="name it by --shell") from None
    except OSError as error:
        raise usage(f"the completion cannot be written: {error}", hint="name a file by --file") from None
    return DONE
