"""What the process of the dashboard can do besides showing what is stored: each desk of dashboard.services by what has it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime

from core.errors import SettingsError
from core.settings import Settings
from dashboard.services import Desks, Explain
from storage.store import Store
from tocsin.runtime import wiring
from tocsin.services.consumer_lag import lags_of
from tocsin.services.delivery_service import DeliveryDesk
from tocsin.services.feed_service import FeedDesk
from tocsin.services.model_service import ModelDesk
from tocsin.services.rule_service import RuleDesk
from tocsin.services.watchlist_service import WatchDesk


@contextlib.contextmanager
def desks_of(settings: Settings, store: Store, now: Callable[[], datetime], explain: Explain | None = None) -> Iterator[Desks]:
    """All desks over one store. now: the time, aware UTC; explain: of the model that runs in this process"""
    with contextlib.suppress(SettingsError):  # of a file that is wrong: the worker complains of it
        wiring.know_watchlists(wiring.watchlists_in_force(settings, store))
    with contextlib.closing(ModelDesk(settings, store, now)) as modelling:
        yield Desks(
            explain=explain,
            ruling=RuleDesk(settings, store, now),
            watching=WatchDesk(settings, store, now),
            feeding=FeedDesk(settings, store, now),
            lags=lags_of(settings),
            delivering=DeliveryDesk(settings, store, now),
            modelling=modelling,
        )
