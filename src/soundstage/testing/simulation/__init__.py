"""Whole systems under a clock that is a number and faults that a seed draws: one seed is one history.

`loop` is the event loop and `environment` what it gives to what runs on it, `faults` stands between a system and its
engine, `steps` and `scenarios` say what is done, `history` what may be answered, `shrink` makes a divergence short.
"""

from __future__ import annotations
