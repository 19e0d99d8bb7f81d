"""How large partitions are, and how those of slices to come are to be cut.

- `sketch`: counts of sizes in few numbers, which add up;
- `surveys`: a part of a slice is looked at, by the hashes of its partitions, and measured;
- `histograms`: what was found of each slice, as it is kept, and as it is told;
- `observing`: who looks, and when;
- `rule`: what slices to come should be like, by that;
- `proposals`: what was proposed and decided, as it is kept;
- `repartitioning`: from what was measured to what is proposed and applied.
"""

from __future__ import annotations
