"""The control plane: the namespaces of a stage, as stored and as this process applies them.

`declaration` checks what is declared and completes it from the stage's defaults; `store` keeps it in a
conditional table of the stage; `tables` makes and drops what it needs on its engine; `changes` are made here,
those of other processes and of the stage file are followed by `follower`; `applied` and `registry` hold what
calls see. The system `namespaces` makes all this reachable.
"""
