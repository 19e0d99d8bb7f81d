"""`soundstage demo`: a stage in one command, filled with real films and ratings through the public client.

`history` holds the source in the order of time, `records` says how it is kept, `loading` and `playback` write
and read it, `verification` reads everything back and compares; `command` is the whole.
"""

from __future__ import annotations
