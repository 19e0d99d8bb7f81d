"""What runs went through, counted, so that a long silence is known to have been a long listening."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Coverage:
    """How often each act, fault and situation occurred. `situations` counts the steps that got into one."""

    steps: int = 0
    virtual_s: float = 0.0
    acts: Counter[str] = field(default_factory=Counter[str])
    faults: Counter[str] = field(default_factory=Counter[str])
    situations: Counter[str] = field(default_factory=Counter[str])

    def add(self, other: Coverage) -> None:
        """This counts what `other` counted, too."""
        self.steps += other.steps
        self.virtual_s += other.virtual_s
        self.acts.update(other.acts)
        self.faults.update(other.faults)
        self.situations.update(other.situations)

    def share(self, situation: str) -> float:
        """Of the steps, those that got into `situation`."""
        return self.situations[situation] / self.steps if self.steps else 0.0

    def missed(self, least: Mapping[str, float]) -> dict[str, float]:
        """The situations that fewer steps got into than the share that `least` asks, and the share that did."""
        return {name: self.share(name) for name, share in least.items() if self.share(name) < share}

    def lines(self, least: Mapping[str, float]) -> list[str]:
        """For people to read; what `least` asks for is shown beside what was reached."""
        hours = self.virtual_s / 3_600
        shown = [f"{self.steps} steps in {hours:.1f} hours of virtual time"]
        for title, counts in (("acts", self.acts), ("faults", self.faults)):
            shown.append(f"{title}: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
        for name in sorted({*self.situations, *least}):
            wanted = f" of at least {least[name]:.1%}" if name in least else ""
            shown.append(f"situation {name}: {self.situations[name]} steps, {self.share(name):.2%}{wanted}")
        return shown
