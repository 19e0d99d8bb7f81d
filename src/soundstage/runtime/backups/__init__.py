"""Backups of a stage that is being served: copies of everything acknowledged, in a folder of its machine.

    job = await stage.client(Backups).create(name="before-the-move")
    backup = await job.result()

The stage file says where they lie, `[systems.backups] folder`; callers only name them. A restore wants the folder
to itself: `soundstage data restore`. How engines are copied lies in `soundstage.runtime.copies`.
"""

from __future__ import annotations

from soundstage.runtime.backups.api import BackedUpEngine, Backup, Backups, SyncBackups

__all__ = ["BackedUpEngine", "Backup", "Backups", "SyncBackups"]
