"""Numbers with a unit, as people write them: `250ms`, `1.5h`, `4MiB`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from soundstage.core.errors import InvalidArgument

_QUANTITY = re.compile(r"(-?)([0-9]{1,19})(?:\.([0-9]{1,18}))?([A-Za-z]*)")
_INT64_MAX = 2**63 - 1


def parse_quantity(text: str, units: Mapping[str, int], kind: str, example: str) -> int:
    """The amount that `text` names, in the smallest unit, exactly.

    `units` maps each unit to its size; an empty name allows a bare number. Raises `InvalidArgument` for
    anything else, for fractions finer than the smallest unit and beyond int64.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise InvalidArgument(f"{text[:40]!r} is no {kind}", hint=f'write one as "{example}"')
    sign, whole, fraction, unit = match.groups()
    size = units.get(unit)
    if size is None:
        raise InvalidArgument(_unit_refusal(text, unit, kind), hint=f"units are {' '.join(filter(None, units))}")
    digits = len(fraction or "")
    amount, rest = divmod(int(whole + (fraction or "")) * size, 10**digits)
    if rest:
        raise InvalidArgument(f"{text!r} is finer than the smallest unit of a {kind}", hint="round it")
    if amount > _INT64_MAX + bool(sign):
        raise InvalidArgument(f"{text!r} is beyond the largest {kind}", hint="it does not fit 64 bits")
    return -amount if sign else amount


def _unit_refusal(text: str, unit: str, kind: str) -> str:
    return f"{text!r} has the unit {unit!r}, which is none of a {kind}" if unit else f"{text!r} lacks a unit"
