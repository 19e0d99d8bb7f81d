"""`python -m soundstage` is the command `soundstage`."""

from __future__ import annotations

from soundstage.surface.cli import main

if __name__ == "__main__":
    main()
