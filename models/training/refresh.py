"""Model refresh: trains a challenger on analysts' labels and promotes it if it passes the promotion gate.

    snapshot ─▶ enough new labels? ─▶ feedback and rehearsal ─▶ train from the champion ─▶ frozen tests ─▶ gate ─▶ promote | keep

A refresh promotes through the gate only, and every outcome is in the history with its reasons. A person can override it with
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
from core.files import locked_or_raise
from models.heads import head_sizes
from models.inference.champion import load_champion
from models.inference.classifier import Classifier, run_smoke_test
from models.inference.loader import load_classifier
from models.registry.manifest import CONFIG, Manifest, read_shape, read_verified
from models.registry.versions import CHECKPOINT, HistoryEntry, Versions
from models.training.examples import Row
from models.training.feedback import (
    Snapshot,
    feedback_rows,
    is_frozen,
    labelled_since,
    read_snapshot,
    rehearsal_from_articles,
    rehearsal_from_sets,
    take_snapshot,
)
from models.training.frozen_tests import FrozenTest, from_folder, from_labels, from_templates, paired_predictions
from models.training.promotion_gate import RESAMPLES, GateDecision, decide
from models.training.refresh_status import GateMeasurement, ProgressFile, RefreshOutcome, save_measurement

__all__ = ["RefreshPlan", "TrainingTask", "read_snapshot", "refresh", "take_snapshot"]

MIN_REHEARSED = 1000
"""Minimum number of rehearsal rows; with few labels the encoder would otherwise overfit to them."""

LR, HEAD_LR_SCALE = 5e-5, 4.0
"""A third of the rates used for the champion, because there is little to learn and the heads are trained."""

_SUFFIX = re.compile(r"-r\d{8}-\d{6}$")


@dataclass(frozen=True, slots=True)
class RefreshPlan:
    """Options of a refresh.

    data: folder of labelled sets for rehearsal; None uses stored articles with confident predictions of the champion
    tests: folder of additional frozen tests
    rehearse: share of rehearsal rows among the training rows, in [0, 1)
    min_labels: minimum number of new labels; force: refresh with fewer
    margin: see models.training.promotion_gate; limit_s: time limit of training in seconds
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
class TrainingTask:
    """Task of a trainer: train the version in `start` on `rows`, and write the version folder `out` with the name `version`."""

    start: Path
    out: Path
    version: str
    rows: tuple[Row, ...]
    now: datetime
    seed: int
    limit_s: float | None


Trainer = Callable[[TrainingTask], Manifest]


def train_from(task: TrainingTask) -> Manifest:
    """Fine-tune the champion on the rows of a task, keeping its calibration. Raises ModelError."""
    from models.training.train import Run, TrainingOptions, train

    _, contents = read_verified(task.start)
    missing = sorted(set(head_sizes({})) - set(read_shape(contents[CONFIG]).outputs))
    if missing:
        message = f"{task.start}: this model lacks the heads {', '.join(missing)} that training needs; make a new one with `tocsin train`"
        raise ModelError(message)
    options = TrainingOptions(version=task.version, seed=task.seed, limit_s=task.limit_s, lr=LR, head_lr_scale=HEAD_LR_SCALE)
    return train(None, task.out, now=task.now, options=options, start=task.start, run=Run(extra=task.rows))


def refresh(
    versions: Versions,
    snapshot: Snapshot,
    plan: RefreshPlan,
    *,
    now: datetime,
    trainer: Trainer = train_from,
    load: Callable[[Path], Classifier] = load_classifier,
    report: Callable[[str], None] = lambda _: None,
    started_by: str = "",
) -> RefreshOutcome:
    """Train a challenger on the labels of a snapshot and promote it if it passes the gate. Only one refresh runs at a time.

    Args:
        versions: the registry.
        snapshot: labels and articles.
        plan: options.
        now: current time.
        trainer: trains the challenger.
        load: loads a version folder.
        report: receives progress messages.
        started_by: the person who started it, for display.

    Returns:
        The outcome with its reasons.

    Raises:
        ModelError: the champion or the training fails, or another refresh is running.
        SettingsError: a folder of the plan lacks the expected files.
    """
    busy = ModelError(f"another refresh is running on {versions.root}; wait for it, or stop it")
    with (
        locked_or_raise(versions.root / "refresh.lock", busy),
        ProgressFile(versions.root, now=now, started_by=started_by, report=report) as progress,
    ):
        outcome = _refresh(versions, snapshot, plan, now, trainer, load, progress)
        progress.end(outcome)
        return outcome


def _refresh(
    versions: Versions,
    snapshot: Snapshot,
    plan: RefreshPlan,
    now: datetime,
    trainer: Trainer,
    load: Callable[[Path], Classifier],
    report: Callable[[str], None],
) -> RefreshOutcome:
    began = monotonic()
    attempts = [event for event in versions.history() if event.labels_until is not None]
    promoted = [event for event in attempts if event.action == "promote"]
    untried = labelled_since(snapshot.labels, _until(attempts))
    name = versions.champion()
    learned = feedback_rows(each for each in snapshot.labels if not is_frozen(each.article))
    if not learned or (len(untried) < plan.min_labels and not plan.force):
        why = f"{len(untried)} new labels, {plan.min_labels} required" if learned else "no labels to learn from"
        return RefreshOutcome(action="skip", champion=name, reasons=(why,), new_labels=len(untried))
    tests = _frozen_tests(snapshot, _until(promoted), plan, report)
    _, champion = load_champion(versions, load)
    report(f"champion {name} ({champion.version}); {len(untried)} new labels of {len(snapshot.labels)}")
    old = _rehearsal(champion, snapshot, plan, len(learned))
    version = f"{_SUFFIX.sub('', champion.version)}-r{now:%Y%m%d-%H%M%S}"
    rows = [*learned, *old]
    random.Random(plan.seed).shuffle(rows)  # noqa: S311
    report(f"training {version} on {len(learned)} labels and {len(old)} rehearsed rows")
    out = versions.folder(version)
    task = TrainingTask(versions.folder(name), out, version, tuple(rows), now, plan.seed, plan.limit_s)
    try:
        trainer(task)
        versions.open(version)
    except BaseException:
        for folder in (out, out.with_name(out.name + CHECKPOINT)):  # an incomplete version is useless
            shutil.rmtree(folder, ignore_errors=True)
        raise
    report(f"measuring both on {sum(len(test.cases) for test in tests)} frozen rows")
    decision = _decide(tests, champion, lambda: load(out), plan)
    save_measurement(
        versions.root,
        GateMeasurement(version=version, against=name, at=now, reasons=decision.reasons, comparisons=decision.comparisons),
    )
    until = max(each.label.labelled_at for each in snapshot.labels) + timedelta(seconds=1)
    action = _settle(versions, version, name, decision, now=now, until=until)
    return RefreshOutcome(
        action=action,
        champion=version if action == "promote" else versions.champion(),
        challenger=version,
        reasons=decision.reasons,
        new_labels=len(untried),
        learned=len(learned),
        rehearsed=len(old),
        frozen=sum(is_frozen(each.article) for each in snapshot.labels),
        comparisons=decision.comparisons,
        seconds=round(monotonic() - began, 1),
    )


def _until(events: Sequence[HistoryEntry]) -> datetime | None:
    return max((event.labels_until for event in events if event.labels_until is not None), default=None)


def _frozen_tests(
    snapshot: Snapshot, promoted_until: datetime | None, plan: RefreshPlan, report: Callable[[str], None]
) -> list[FrozenTest]:
    """All frozen tests. Labels are new until a version trained on labels of the same time is promoted."""
    frozen = [each for each in snapshot.labels if is_frozen(each.article)]
    new = labelled_since(frozen, promoted_until)
    earlier = [each for each in frozen if each not in new]
    tests = [*from_labels("new labels", new, new=True), *from_labels("earlier labels", earlier, new=False), *from_templates()]
    return tests + (from_folder(plan.tests, report) if plan.tests is not None else [])


def _rehearsal(champion: Classifier, snapshot: Snapshot, plan: RefreshPlan, learned: int) -> list[Row]:
    if not plan.rehearse:
        return []
    wanted = max(MIN_REHEARSED, round(learned * plan.rehearse / (1 - plan.rehearse)))
    rng = random.Random(plan.seed)  # noqa: S311
    if plan.data is not None:
        return rehearsal_from_sets(plan.data, wanted, rng)
    labelled = frozenset(each.article.story for each in snapshot.labels)
    return rehearsal_from_articles(champion, snapshot.articles, labelled, wanted, rng)


def _decide(tests: Sequence[FrozenTest], champion: Classifier, load: Callable[[], Classifier], plan: RefreshPlan) -> GateDecision:
    """The gate's decision; a challenger that fails to load or to predict is rejected."""
    try:
        challenger = load()
        run_smoke_test(challenger)
        return decide(paired_predictions(tests, champion, challenger), margin=plan.margin, resamples=plan.resamples, seed=plan.seed)
    except ModelError as error:
        return GateDecision(False, (f"the challenger cannot be used: {error}",), ())


def _settle(
    versions: Versions, version: str, champion: str, decision: GateDecision, *, now: datetime, until: datetime
) -> Literal["promote", "keep"]:
    why = "; ".join(decision.reasons)
    if decision.promote:
        try:
            versions.promote(version, now=now, why=why, expected=champion, labels_until=until)
        except ModelError as error:  # a person promoted another version meanwhile
            why = str(error)
        else:
            return "promote"
    versions.keep(version, now=now, why=why, labels_until=until)
    return "keep"
