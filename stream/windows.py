"""Windows of time: half open, as wide as the rule says, sliding by a step. Pure.

    width_s = 900, step_s = 60, a story at 10:07:30
                                            │
    past  ──┬─────────┬─────────┬───────────┼┐
          09:23     09:38     09:53   [  09:53, 10:08 )   the window: ends with the first step after the story
            └─ windows of the past end where the next one starts, back to where history begins

So a late story falls into the windows it belongs to, and the same stories are always judged by the same windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from spine.store import WindowCount

STEP_S = 60


class Window(NamedTuple):
    """[start, end), aware UTC."""

    start: datetime
    end: datetime


def align(moment: datetime, step_s: int) -> datetime:
    """The last multiple of `step_s` since 1970 that is not after `moment`."""
    seconds = int(moment.timestamp() // step_s) * step_s
    return datetime.fromtimestamp(seconds, tz=UTC)


def window_of(moment: datetime, width_s: int, step_s: int = STEP_S) -> Window:
    """The window whose last step holds `moment`."""
    end = align(moment, step_s) + timedelta(seconds=step_s)
    return Window(end - timedelta(seconds=width_s), end)


def touched(moments: Iterable[datetime], width_s: int, now: datetime, max_age_s: float, step_s: int = STEP_S) -> list[Window]:
    """The windows to judge after stories at `moments` came in, oldest first: one for each stretch of width_s that has any.

    A moment after `now` counts as now (a source's clock runs ahead); one more than max_age_s before it is history and is left out.
    """
    newest: dict[datetime, datetime] = {}
    for raw in moments:
        moment = min(raw, now)
        if moment < now - timedelta(seconds=max_age_s):
            continue
        stretch = align(moment, width_s)
        newest[stretch] = max(newest.get(stretch, moment), moment)
    return [window_of(newest[stretch], width_s, step_s) for stretch in sorted(newest)]


def history_start(window: Window, history_s: float, first_seen: datetime | None) -> datetime:
    """Where the past of `window` begins: whole windows back from its start, at most history_s, and none from before `first_seen`.

    What was not followed is not known to have been quiet. `window.start` itself when there is no past.
    """
    width = window.end - window.start
    reach = timedelta(seconds=history_s) if first_seen is None else min(timedelta(seconds=history_s), window.start - first_seen)
    return window.start - max(reach // width, 0) * width


def fill(counts: Sequence[WindowCount], since: datetime, until: datetime, width_s: int) -> list[WindowCount]:
    """Every window of [since, until), oldest first; those missing in `counts` (of the same grid) had no story."""
    by_start = {count.start: count for count in counts}
    width = timedelta(seconds=width_s)
    starts = (since + number * width for number in range(int((until - since) / width)))
    return [by_start.get(start) or WindowCount(start, width_s, 0, 0) for start in starts]
