"""The promotion gate: only significant gains without losses elsewhere are promoted."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from models.evaluation.metrics import metrics_report, multi_label_counts
from models.training.promotion_gate import MIN_ROWS, GateDecision, PairedPredictions, RowLabels, compare, decide

CLASSES = ("negative", "neutral", "positive")


def single(names: Sequence[str]) -> tuple[RowLabels, ...]:
    return tuple(frozenset((name,)) for name in names)


def wrong(name: str) -> str:
    return CLASSES[(CLASSES.index(name) + 1) % 3]


def pair(n: int, before: Callable[[int], bool], after: Callable[[int], bool], *, name: str = "old", new: bool = False) -> PairedPredictions:
    """n rows of three classes in two languages; `before` and `after` select the rows that each model predicts correctly."""
    truth = [CLASSES[i % 3] for i in range(n)]
    languages = tuple("zh" if i % 2 else "en" for i in range(n))
    sides = [single([label if right(i) else wrong(label) for i, label in enumerate(truth)]) for right in (before, after)]
    return PairedPredictions(name, languages, single(truth), sides[0], sides[1], CLASSES, new)


def same(n: int = 600) -> PairedPredictions:
    return pair(n, lambda i: i % 10 != 0, lambda i: i % 10 != 0)


def better() -> PairedPredictions:
    return pair(60, lambda i: i % 2 == 0, lambda i: i % 6 != 1, name="new", new=True)


def reasons_of(decision: GateDecision) -> str:
    return "; ".join(decision.reasons)


def test_a_clear_gain_without_a_loss_is_promoted():
    decision = decide([same(), better()])
    assert decision.promote, reasons_of(decision)
    assert "significantly better" in reasons_of(decision)


def test_the_decision_is_deterministic():
    assert decide([same(), better()]) == decide([same(), better()])


def test_an_insignificant_gain_is_rejected():
    small = pair(60, lambda i: i % 10 != 0, lambda i: i % 10 != 0 or i == 0, name="new", new=True)
    decision = decide([same(), small])
    assert not decision.promote
    assert "not significantly better" in reasons_of(decision)


def test_an_equal_or_worse_challenger_is_rejected():
    for after in (lambda i: i % 2 == 0, lambda i: i % 4 == 0):
        assert not decide([pair(80, lambda i: i % 2 == 0, after, name="new", new=True)]).promote


@pytest.mark.parametrize("pairs", [[], [same()], [PairedPredictions("new", (), (), (), (), CLASSES, new=True)]])
def test_without_new_rows_nothing_is_promoted(pairs: list[PairedPredictions]):
    decision = decide(pairs)
    assert not decision.promote
    assert "a gain cannot be shown" in reasons_of(decision)


def test_a_large_loss_in_one_class_prevents_promotion():
    """Half of the positive rows become wrong and twice as many others right, so overall accuracy rises."""
    broken = pair(900, lambda i: i % 3 == 2 or i % 2 == 1, lambda i: i % 3 != 2 or i % 2 == 1)
    decision = decide([broken, better()])
    whole = next(c for c in decision.comparisons if c.test == "old" and c.metric == "accuracy" and c.group == "all")
    assert whole.difference > 0
    assert not decision.promote
    assert "class positive" in reasons_of(decision)


def test_a_large_loss_in_one_language_prevents_promotion():
    broken = pair(900, lambda i: i % 10 != 0, lambda i: (i % 10 != 0 and not (i % 2 and i % 18 == 1)) or i % 20 == 0)
    decision = decide([broken, better()])
    assert not decision.promote
    assert "language zh" in reasons_of(decision)


def test_only_a_loss_within_the_margin_passes():
    """With 3,000 rows, a loss of 0.7 points is within the margin of one point; a loss of 2 points is not."""
    little = pair(3000, lambda i: True, lambda i: i % 151 != 0)
    assert decide([little, better()]).promote
    much = pair(3000, lambda i: True, lambda i: i % 47 != 0)
    assert not decide([much, better()]).promote
    assert decide([much, better()], margin=0.05).promote


def test_few_rows_have_a_wider_margin_of_at_most_five_points():
    few = pair(60, lambda i: True, lambda i: i not in (0, 1, 2, 3))
    found = [c for c in compare(few, margin=0.01) if c.metric == "accuracy"]
    assert max(c.margin for c in found) == pytest.approx(0.05)
    assert not decide([few, better()]).promote
    one_row = pair(60, lambda i: True, lambda i: i != 0)
    assert decide([one_row, better()]).promote


def test_a_class_with_very_few_rows_is_not_checked_separately():
    truth = ["neutral"] * 300 + ["positive"] * (MIN_ROWS - 1)
    after = ["neutral"] * 301 + ["positive"] * (MIN_ROWS - 2)
    old = PairedPredictions("old", ("en",) * len(truth), single(truth), single(truth), single(after), CLASSES)
    assert next(c for c in compare(old, margin=0.01) if c.group == "class positive").fine


def test_gate_metrics_equal_those_of_the_report_and_lie_in_their_intervals():
    """F1 by class equals that of the metrics report; the interval is close to the normal one of a paired difference."""
    rng = random.Random(3)
    names = ("a", "b", "c", "d")
    truth, one, two = ([frozenset(n for n in names if rng.random() < 0.4) for _ in range(400)] for _ in range(3))
    found = compare(PairedPredictions("t", ("en",) * 400, tuple(truth), tuple(one), tuple(two), names), margin=0.01)
    for side, labels in (("champion", one), ("challenger", two)):
        report = metrics_report(multi_label_counts(truth, [dict.fromkeys(row, 1.0) for row in labels], names))
        assert next(getattr(c, side) for c in found if c.metric == "accuracy") == pytest.approx(report.accuracy)
        assert next(getattr(c, side) for c in found if c.metric == "macro F1") == pytest.approx(report.macro_f1)
        for name in names:
            assert next(getattr(c, side) for c in found if c.group == f"class {name}") == pytest.approx(report.per_class[name].f1)
    whole = next(c for c in found if c.metric == "accuracy")
    gaps = np.array([(b == t) - int(a == t) for t, a, b in zip(truth, one, two, strict=True)])
    half = 1.96 * gaps.std() / np.sqrt(len(gaps))
    assert (whole.high - whole.low) / 2 == pytest.approx(half, rel=0.1)
    assert whole.low <= whole.difference <= whole.high


def test_a_false_promotion_is_rare():
    """Of 200 pairs of equally good models about 2.5 % are promoted; 12 is within chance."""
    promoted = 0
    for seed in range(200):
        rng = random.Random(seed)
        rights = [[rng.random() < 0.7 for _ in range(60)] for _ in range(2)]
        noise = pair(60, lambda i, r=rights: r[0][i], lambda i, r=rights: r[1][i], name="new", new=True)  # type: ignore[misc]
        promoted += decide([noise], resamples=300).promote
    assert promoted <= 12
