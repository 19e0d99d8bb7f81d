"""Child processes that run roles of a stage, and the process that has the engines and looks after them.

The parent opens the stage, offers its engines at a socket and starts a child for every worker that is configured.
A child runs one role over `host:` engines. Between the two is a channel, over which the child gets its configuration,
tells when it is ready, and both ask for each other's metrics; its end is the end of the child too.
"""
