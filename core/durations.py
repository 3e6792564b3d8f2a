"""Lengths of time as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

from core.errors import InvalidInput

_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def parse_duration(text: str) -> timedelta:
    """Parse a duration such as "45m", "2h", "3d" or "1d12h".

    Raises:
        InvalidInput: the text is no duration, or it is longer than ten years
    """
    parts = re.findall(r"(\d{1,6})([mhdw])", text.strip().lower())
    if not parts or "".join(n + unit for n, unit in parts) != text.strip().lower():
        raise InvalidInput(f"{text!r} is not a duration such as 45m, 2h, 3d or 1d12h")
    seconds = sum(int(n) * _UNIT_SECONDS[unit] for n, unit in parts)
    if not 0 < seconds <= 10 * 366 * 86_400:
        raise InvalidInput(f"the duration {text!r} is out of range: from one minute to ten years")
    return timedelta(seconds=seconds)
