"""How large partitions are, and how those of slices to come are to be cut.

- `sketch`: counts of sizes in few numbers, which add up;
- `surveys`: a part of a slice is looked at, by the hashes of its partitions, and measured;
- `histograms`: what was found of each slice, as it is kept, and as it is told;
- `observing`: who looks, and when.
"""

from __future__ import annotations
