"""What pages ask of the process that serves them, besides what is stored: the dashboard knows no rules, models or feeds, it shows them."""

from __future__ import annotations

from typing import NamedTuple

from dashboard.desks.delivering import Delivering
from dashboard.desks.explaining import Explain
from dashboard.desks.feeding import Feeding
from dashboard.desks.lagging import Lags
from dashboard.desks.modelling import Modelling
from dashboard.desks.ruling import Ruling
from dashboard.desks.watching import Watching


class Desks(NamedTuple):
    """Who answers for what; None: it is not to be had from this process, and the pages say so.

    explain: which words drove a score; ruling, watching: the rules and the watchlists in force; feeding: feeds that people add
    lags: how far the workers are behind; delivering: what was sent, and is to be sent again; modelling: the versions of the model
    """

    explain: Explain | None = None
    ruling: Ruling | None = None
    watching: Watching | None = None
    feeding: Feeding | None = None
    lags: Lags | None = None
    delivering: Delivering | None = None
    modelling: Modelling | None = None
