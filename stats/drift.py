"""Drift and calibration: distance of two distributions, expected calibration error. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Counts = Mapping[str, float]
CalibrationBins = Sequence[tuple[float, float, float]]
"""Rows of (answers, sum of their confidences, number of right ones), one for each bin of confidence."""


def jensen_shannon_distance(one: Counts, two: Counts) -> float:
    """Jensen-Shannon distance of two distributions given by counts, base 2: 0 where they are alike, 1 where they share nothing.

    0 where either has no counts. Source: Lin (1991), "Divergence measures based on the Shannon entropy".
    """
    total = (sum(one.values()), sum(two.values()))
    if not all(total):
        return 0.0
    divergence = 0.0
    for key in {*one, *two}:
        p, q = one.get(key, 0.0) / total[0], two.get(key, 0.0) / total[1]
        mean = (p + q) / 2
        divergence += sum(0.5 * each * math.log2(each / mean) for each in (p, q) if each > 0)
    return math.sqrt(max(0.0, divergence))


def expected_calibration_error(bins: CalibrationBins) -> float | None:
    """Mean distance of confidence and accuracy over the bins, weighted by their answers; None without answers.

    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks".
    """
    total = sum(n for n, _, _ in bins)
    return sum(abs(confidence - right) for _, confidence, right in bins) / total if total else None
