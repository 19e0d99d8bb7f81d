"""What a system counts in the replies of an operation for `--plot`, as data: its module `plots` has them as `PLOTS`.

A plot is the number of events per interval of time. The names of fields are dotted paths in the request or the reply.
"""

from __future__ import annotations

import msgspec


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of `events` by time, between the instants `start` and `end` of the request.

    `rows` of the reply each happened `at` a time. With `width` they are counts already: the request takes there how
    long an interval is, and each row has its number under `count`. Without it every row is one event, and all pages
    are read. `title` are the fields of the request that say of what they are; where one of `narrowed` is given, only
    some of them are counted.
    """

    events: str
    title: tuple[str, ...]
    narrowed: tuple[str, ...]
    start: str
    end: str
    rows: str
    at: str
    width: str = ""
    count: str = ""
