"""Do jobs stay listable with 10⁶ of them in the history? Pages, filters, the queue, memory, and forgetting them.

The rival of each page is the same page of a history of a thousand jobs.
"""

from __future__ import annotations
