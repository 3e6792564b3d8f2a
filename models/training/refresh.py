"""How does the model learn from the people who correct it? A challenger is trained, measured, and promoted or kept back.

    snapshot ─▶ enough new labels? ─▶ feedback and rehearsal ─▶ train from the champion ─▶ frozen tests ─▶ gate ─▶ promote | keep

The gate is the only way into force here, and each outcome is in the history with its reasons. Whoever knows better has
`tocsin models promote`.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Literal

from core.errors import ModelError
from core.files import sole
from models.heads import head_sizes
from models.inference.champion import load_champion
from models.inference.classifier import Classifier, prove
from models.inference.loader import load_classifier
from models.registry.manifest import CONFIG, Manifest, read_shape, read_verified
from models.registry.versions import CHECKPOINT, Event, Versions
from models.training.data import Row
from models.training.feedback import (
    Snapshot,
    feedback_rows,
    is_frozen,
    read_snapshot,
    rehearsal_from_articles,
    rehearsal_from_sets,
    since,
    take_snapshot,
)
from models.training.frozen_tests import Exam, from_folder, from_labels, from_seeds, trials_of
from models.training.promotion_gate import RESAMPLES, Verdict, judge
from models.training.refresh_status import Measured, Outcome, Reporter, in_words, keep_measured

__all__ = ["Outcome", "Plan", "Task", "in_words", "read_snapshot", "refresh", "take_snapshot"]

LEAST_REHEARSED = 1000
"""A handful of labels needs more than its share of old rows beside it, or it pulls the encoder after itself."""

LR, HEAD_LR_SCALE = 5e-5, 4.0
"""A third of the pace that made the champion: it has little to learn, and its heads are trained already."""

_SUFFIX = re.compile(r"-r\d{8}-\d{6}$")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a person, or the clock, asks for.

    data: folder of labelled sets to rehearse; None takes stored articles that the champion is sure of
    tests: folder of frozen tests besides the labels' own and the built-in ones
    rehearse: share of old rows among those trained on, in [0, 1)
    min_labels: new labels that a refresh needs, unless `force`
    margin: see models.training.promotion_gate; limit_s: seconds after which training ends
    resamples: of the gate's bootstrap
    """

    data: Path | None = None
    tests: Path | None = None
    rehearse: float = 0.8
    min_labels: int = 50
    force: bool = False
    margin: float = 0.01
    limit_s: float | None = None
    resamples: int = RESAMPLES
    seed: int = 13


@dataclass(frozen=True, slots=True)
class Task:
    """What a trainer is given: go on from `start` with `rows`, write the version folder `out` called `version`."""

    start: Path
    out: Path
    version: str
    rows: tuple[Row, ...]
    now: datetime
    seed: int
    limit_s: float | None


Trainer = Callable[[Task], Manifest]


def train_from(task: Task) -> Manifest:
    """The real trainer: fine-tune the champion on the rows of the task; its calibration stays. Raises ModelError."""
    from models.training.train import Options, Run, train

    _, contents = read_verified(task.start)
    missing = sorted(set(head_sizes({})) - set(read_shape(contents[CONFIG]).outputs))
    if missing:
        message = f"{task.start}: this model has no head {', '.join(missing)}, which training wants; `tocsin train` makes one that has all"
        raise ModelError(message)
    options = Options(version=task.version, seed=task.seed, limit_s=task.limit_s, lr=LR, head_lr_scale=HEAD_LR_SCALE)
    return train(None, task.out, now=task.now, options=options, start=task.start, run=Run(extra=task.rows))


def refresh(
    versions: Versions,
    snapshot: Snapshot,
    plan: Plan,
    *,
    now: datetime,
    trainer: Trainer = train_from,
    load: Callable[[Path], Classifier] = load_classifier,
    say: Callable[[str], None] = lambda _: None,
    who: str = "",
) -> Outcome:
    """Train a challenger on the labels of `snapshot` and promote it if the gate lets it through. One at a time.

    who: starts it, for those who look on (models.training.progress).
    Raises ModelError when the champion or the training fails, SettingsError for folders without what they should hold.
    """
    busy = ModelError(f"another refresh is under way on {versions.root}; wait for it, or stop it")
    with sole(versions.root / "refresh.lock", busy), Reporter(versions.root, now=now, who=who, say=say) as report:
        outcome = _refresh(versions, snapshot, plan, now, trainer, load, report)
        report.end(outcome)
        return outcome


def _refresh(
    versions: Versions,
    snapshot: Snapshot,
    plan: Plan,
    now: datetime,
    trainer: Trainer,
    load: Callable[[Path], Classifier],
    say: Callable[[str], None],
) -> Outcome:
    began = monotonic()
    attempts = [event for event in versions.history() if event.labels_until is not None]
    promoted = [event for event in attempts if event.action == "promote"]
    untried = since(snapshot.labels, _until(attempts))
    name = versions.champion()
    learned = feedback_rows(each for each in snapshot.labels if not is_frozen(each.article))
    if not learned or (len(untried) < plan.min_labels and not plan.force):
        why = f"{len(untried)} new labels, {plan.min_labels} are wanted" if learned else "no label to learn from"
        return Outcome(action="skip", champion=name, reasons=(why,), new_labels=len(untried))
    exams = _exams(snapshot, _until(promoted), plan, say)
    _, champion = load_champion(versions, load)
    say(f"champion {name} ({champion.version}); {len(untried)} new labels of {len(snapshot.labels)}")
    old = _rehearsal(champion, snapshot, plan, len(learned))
    version = f"{_SUFFIX.sub('', champion.version)}-r{now:%Y%m%d-%H%M%S}"
    rows = [*learned, *old]
    random.Random(plan.seed).shuffle(rows)  # noqa: S311
    say(f"training {version} on {len(learned)} labels and {len(old)} rehearsed rows")
    out = versions.folder(version)
    task = Task(versions.folder(name), out, version, tuple(rows), now, plan.seed, plan.limit_s)
    try:
        trainer(task)
        versions.open(version)
    except BaseException:
        for folder in (out, out.with_name(out.name + CHECKPOINT)):  # half a version is of no use
            shutil.rmtree(folder, ignore_errors=True)
        raise
    say(f"measuring both on {sum(len(exam.cases) for exam in exams)} frozen rows")
    verdict = _verdict(exams, champion, lambda: load(out), plan)
    keep_measured(
        versions.root,
        Measured(version=version, against=name, at=now, reasons=verdict.reasons, comparisons=verdict.comparisons),
    )
    until = max(each.label.labelled_at for each in snapshot.labels) + timedelta(seconds=1)
    action = _settle(versions, version, name, verdict, now=now, until=until)
    return Outcome(
        action=action,
        champion=version if action == "promote" else versions.champion(),
        challenger=version,
        reasons=verdict.reasons,
        new_labels=len(untried),
        learned=len(learned),
        rehearsed=len(old),
        frozen=sum(is_frozen(each.article) for each in snapshot.labels),
        comparisons=verdict.comparisons,
        seconds=round(monotonic() - began, 1),
    )


def _until(events: Sequence[Event]) -> datetime | None:
    return max((event.labels_until for event in events if event.labels_until is not None), default=None)


def _exams(snapshot: Snapshot, promoted_until: datetime | None, plan: Plan, say: Callable[[str], None]) -> list[Exam]:
    """All frozen tests. Labels are new until a version that learned from their like was promoted."""
    frozen = [each for each in snapshot.labels if is_frozen(each.article)]
    new = since(frozen, promoted_until)
    earlier = [each for each in frozen if each not in new]
    exams = [*from_labels("new labels", new, new=True), *from_labels("earlier labels", earlier, new=False), *from_seeds()]
    return exams + (from_folder(plan.tests, say) if plan.tests is not None else [])


def _rehearsal(champion: Classifier, snapshot: Snapshot, plan: Plan, learned: int) -> list[Row]:
    if not plan.rehearse:
        return []
    wanted = max(LEAST_REHEARSED, round(learned * plan.rehearse / (1 - plan.rehearse)))
    dice = random.Random(plan.seed)  # noqa: S311
    if plan.data is not None:
        return rehearsal_from_sets(plan.data, wanted, dice)
    labelled = frozenset(each.article.story for each in snapshot.labels)
    return rehearsal_from_articles(champion, snapshot.articles, labelled, wanted, dice)


def _verdict(exams: Sequence[Exam], champion: Classifier, load: Callable[[], Classifier], plan: Plan) -> Verdict:
    """The gate's; a challenger that cannot even be used is kept back too."""
    try:
        challenger = load()
        prove(challenger)
        return judge(trials_of(exams, champion, challenger), margin=plan.margin, resamples=plan.resamples, seed=plan.seed)
    except ModelError as error:
        return Verdict(False, (f"the challenger cannot be used: {error}",), ())


def _settle(
    versions: Versions, version: str, champion: str, verdict: Verdict, *, now: datetime, until: datetime
) -> Literal["promote", "keep"]:
    why = "; ".join(verdict.reasons)
    if verdict.promote:
        try:
            versions.promote(version, now=now, why=why, expected=champion, labels_until=until)
        except ModelError as error:  # a person promoted another meanwhile
            why = str(error)
        else:
            return "promote"
    versions.keep(version, now=now, why=why, labels_until=until)
    return "keep"
