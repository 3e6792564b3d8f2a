"""What the page of models asks of the process that serves it: the dashboard knows no model, it shows and hands on names and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

Did = Literal["promote", "keep", "rollback"]


class Version(NamedTuple):
    """A version of the model on disk.

    name: what it is promoted by; model: what its scores call it; parent: the one that it was trained from
    rows: training set to rows; dev: set to metric to value on its dev split
    fault: why it cannot be used, "" when it can
    """

    name: str
    model: str = ""
    created: datetime | None = None
    parent: str = ""
    rows: Mapping[str, int] = {}
    dev: Mapping[str, Mapping[str, float]] = {}
    champion: bool = False
    fault: str = ""


class Move(NamedTuple):
    """What happened to a version. origin: the champion until then; who: "" for the gate of a refresh; gate: whether it decided"""

    when: datetime
    did: Did
    version: str
    origin: str
    why: str
    who: str
    gate: bool


class Models(NamedTuple):
    """The versions of this installation, and what became of them.

    champion: its name, "" where the file that names it is damaged (fault says how); before: the one that a rollback leads to, "" for none
    history: oldest first; setting: the setting `model`: with another than "champion" the champion does not score
    """

    champion: str
    before: str
    versions: tuple[Version, ...]
    history: tuple[Move, ...]
    setting: str = "champion"
    fault: str = ""

    def find(self, name: str) -> Version | None:
        """The version of this name."""
        return next((each for each in self.versions if each.name == name), None)


class Compared(NamedTuple):
    """Two versions on the same rows of a frozen test, in shares of 1. low, high: 95 % interval of now - before.

    group: "all", "language zh" or "class negative"; metric: "accuracy", "macro F1" or "F1"
    """

    test: str
    group: str
    metric: str
    rows: int
    before: float
    now: float
    low: float
    high: float


class Contest(NamedTuple):
    """What was measured of two versions beside each other."""

    now: str
    before: str
    at: datetime
    figures: tuple[Compared, ...]


class Published(NamedTuple):
    """A figure of the model card: of a test set in a language. metrics: name to (value, low, high), the interval of 95 %."""

    task: str
    test: str
    language: str
    rows: int
    metrics: Mapping[str, tuple[float, float, float]]


Bins = Sequence[tuple[float, float, float]]
"""Per bin of confidence: how many, the sum of their confidences, how many right."""


class Card(NamedTuple):
    """The model card of a version. before, after: language to bins of the sentiment said, before and after calibration."""

    model: str
    figures: tuple[Published, ...]
    before: Mapping[str, Bins]
    after: Mapping[str, Bins]


class Refresh(NamedTuple):
    """A refresh that is under way, or the last one.

    state: running, ended (see did), failed (see error), or lost: its process was killed
    did: promoted, kept back, or nothing to do ("skip"); told: what it says, with the seconds since it began
    """

    state: Literal["running", "ended", "failed", "lost"]
    began: datetime
    who: str
    told: tuple[tuple[float, str], ...] = ()
    ended: datetime | None = None
    did: Literal["promote", "keep", "skip", ""] = ""
    champion: str = ""
    challenger: str = ""
    reasons: tuple[str, ...] = ()
    error: str = ""


class Modelling(Protocol):
    """Thread safe. What changes something is written to the history of the versions and to the audit log, under the name `who`.

    Every method raises SettingsError or ModelError in a sentence for a person where it cannot do what is asked.
    """

    def models(self) -> Models:
        """The versions and their history."""

    def contest(self, now: str, before: str) -> Contest | None:
        """What was measured of these two versions; None: nothing was."""

    def card(self) -> Card | None:
        """The model card of the version that comes with Tocsin; None where it is not installed."""

    def refreshing(self) -> Refresh | None:
        """The refresh that is under way in any process, or the last one; None: there was none."""

    def promote(self, version: str, champion: str, why: str, who: str) -> None:
        """Put `version` in the place of `champion`. Refused when another is champion by now, or its files are not whole."""

    def rollback(self, champion: str, why: str, who: str) -> None:
        """Go back to the version before `champion`. Refused when another is champion by now, or none was before."""

    def refresh(self, who: str, force: bool) -> None:
        """Begin to learn from people's labels, in a process of its own. Refused while one is under way. force: few labels will do."""
