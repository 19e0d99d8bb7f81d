"""Namespaces: the units of configuration and isolation, and the system by which they are administered.

`api` has the messages; `declaration` checks what is declared and completes it from the stage's defaults;
`store` keeps it in a conditional table of the stage; `registry` holds what this process applies; `control`
makes changes, follows those of other processes and of the stage file; `service` is the system.
"""

from __future__ import annotations
