"""Lengths of time as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

from core.errors import InvalidInput

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def span(text: str) -> timedelta:
    """The time in words such as "45m", "2h", "3d" or "1d12h". Raises InvalidInput."""
    parts = re.findall(r"(\d{1,6})([mhdw])", text.strip().lower())
    if not parts or "".join(n + unit for n, unit in parts) != text.strip().lower():
        raise InvalidInput(f"{text!r} is no length of time: expected such as 45m, 2h, 3d or 1d12h")
    seconds = sum(int(n) * _UNITS[unit] for n, unit in parts)
    if not 0 < seconds <= 10 * 366 * 86_400:
        raise InvalidInput(f"{text!r} is no useful length of time: from a minute to ten years")
    return timedelta(seconds=seconds)
