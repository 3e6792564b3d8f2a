"""What came of a refresh: the decision, its reasons, and the figures behind it. Read without torch."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from core.files import write_whole
from models.training.promotion_gate import Comparison


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a refresh.

    new_labels: given since the last attempt; learned, rehearsed: rows trained on; frozen: labels held back as a test
    """

    action: Literal["promote", "keep", "skip"]
    champion: str
    challenger: str = ""
    reasons: tuple[str, ...]
    new_labels: int
    learned: int = 0
    rehearsed: int = 0
    frozen: int = 0
    comparisons: tuple[Comparison, ...] = ()
    seconds: float = 0.0


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate measured of a version, on rows that it and the champion of then (`against`) never saw."""

    version: str
    against: str
    at: datetime
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


def _place(root: Path, version: str) -> Path:
    return root / "measured" / f"{version}.json"


def keep_measured(root: Path, measured: Measured) -> None:
    """Keep the figures beside the versions of `root`; they stay when the version itself is deleted."""
    path = _place(root, measured.version)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, msgspec.json.encode(measured))


def read_measured(root: Path, version: str) -> Measured | None:
    """What was measured of a version, a name that Versions.folder takes; None: nothing, or nothing that can be read."""
    try:
        return msgspec.json.decode(_place(root, version).read_bytes(), type=Measured)
    except (OSError, msgspec.MsgspecError):
        return None


def in_words(outcome: Outcome) -> list[str]:
    """The outcome for a person: what was decided, why, and the figures that weighed."""
    if outcome.action == "skip":
        return [f"nothing to do: {'; '.join(outcome.reasons)}; the champion is {outcome.champion}"]
    first = {
        "promote": f"promoted {outcome.challenger}: running workers take it up within seconds",
        "keep": f"kept {outcome.champion}; {outcome.challenger} was not promoted",
    }[outcome.action]
    lines = [first, *(f"  {reason}" for reason in outcome.reasons)]
    for c in outcome.comparisons:
        if c.group == "all" or not c.fine:
            figures = (
                f"{c.champion:.3f} ─▶ {c.challenger:.3f} ({100 * c.difference:+.1f} points, {100 * c.low:+.1f} to {100 * c.high:+.1f})"
            )
            lines.append(f"  {c.test}, {c.group}, {c.metric}, {c.n} rows: {figures}")
    return lines
