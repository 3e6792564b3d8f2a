"""What the process of the dashboard can do besides showing what is stored: each desk of dashboard.desks by what has it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime

from dashboard.desks import Desks
from dashboard.desks.explaining import Explain
from spine.errors import SettingsError
from spine.settings import Settings
from spine.store import Store
from tocsin import wiring
from tocsin.deliveries import DeliveryDesk
from tocsin.feeding import FeedDesk
from tocsin.lagging import lags_of
from tocsin.modelling import ModelDesk
from tocsin.ruling import RuleDesk
from tocsin.watching import WatchDesk


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
