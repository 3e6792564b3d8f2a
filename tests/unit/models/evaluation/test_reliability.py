"""Reliability before and after calibration, and abstention."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.reliability import diagram, ece_of_bins, merge_reliability, reliability
from models.registry.manifest import Abstention


def test_uncalibrated_probabilities_are_recovered_from_calibrated_ones():
    """For logits (2, 0, -1) and temperature 2 the bins before calibration must contain softmax(2, 0, -1)."""
    logits = np.array([[2.0, 0.0, -1.0]] * 3)
    calibrated, raw = (np.exp(logits / t) / np.exp(logits / t).sum(1, keepdims=True) for t in (2.0, 1.0))
    labels = ["negative", "neutral", "positive"]
    heads, languages = ["sentiment", "sentiment", "social"], ["en", "en", "zh"]
    temperatures, abstain = (
        {"sentiment.en": 2.0, "social.zh": 2.0},
        {"sentiment.en": Abstention(0.6, 0.5), "social.zh": Abstention(0.9, 0.1)},
    )
    found = reliability(labels, calibrated, heads, languages, temperatures, abstain)
    assert sum(c for _, c, _ in found.before["en"]) == pytest.approx(2 * raw.max())
    assert sum(c for _, c, _ in found.after["en"]) == pytest.approx(2 * calibrated.max())
    assert ece_of_bins(found.after["en"]) == pytest.approx(calibrated.max() - 0.5)
    assert [(key, abstention.n, abstention.answered, abstention.right) for key, abstention in found.abstention.items()] == [
        ("sentiment.en", 2, 2, 1),
        ("social.zh", 1, 0, 0),
    ]
    twice = merge_reliability([found, found])
    assert twice.abstention["sentiment.en"].n == 4
    assert ece_of_bins(twice.after["zh"]) == ece_of_bins(found.after["zh"])
    picture = diagram(found)
    assert picture.count("<circle") == 4
    assert "en: ECE" in picture
