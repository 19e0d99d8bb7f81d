"""HTTP: a server with limits of its own, and the application that takes messages to operations.

`server` listens, watches connections and drains; `protocol` reads requests within bounds of size and time. `app` finds
what a path is for, `exchange` is one request and its reply, `body`, `media` and `compression` what is between bytes and
messages, `pages` what is for people.
"""

from __future__ import annotations
