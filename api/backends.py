"""What the process that serves the API can do besides reading the store, as functions: what they need is not the dashboard's.

None: not here. Each raises what its docstring says; everything else is a mistake of ours (500).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from api.requests import ArticleIn
from api.types import Classified, Pushed, RuleOut, WatchlistOut
from domain.alert_lifecycle import Inhibition

Classify = Callable[[Sequence[str]], Classified]
"""Texts through the model, one item each. Raises ModelError; StoreUnavailable where the model is not ready, or others keep it busy."""

Push = Callable[[Sequence[ArticleIn], datetime], list[Pushed]]
"""Articles, and when they came, to where nothing loses them any more, before it returns; one result each, indices as in the list.

Raises BrokerError or StoreError when none is safe, or nobody knows: the same articles may be pushed again.
"""


@dataclass(frozen=True, slots=True)
class Backends:
    """What there is.

    inhibit: which alerts speak for which; rules, watchlists: those in force, raising SettingsError where their files are wrong
    per_minute: requests a token may make; streams: how many may listen at once
    """

    classify: Classify | None = None
    push: Push | None = None
    rules: Callable[[], Sequence[RuleOut]] | None = None
    watchlists: Callable[[], Sequence[WatchlistOut]] | None = None
    inhibit: tuple[Inhibition, ...] = ()
    per_minute: int = 600
    streams: int = 50
