"""Access tokens: who may call from outside, and the system by which they are administered.

`api` has the messages; `store` keeps hashes and knows a token again; `service` is the system.
"""

from __future__ import annotations
