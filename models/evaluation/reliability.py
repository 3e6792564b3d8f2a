"""Reliability of sentiment probabilities before and after calibration, and the effect of abstention.

A calibrated probability is proportional to exp(logit / T), so the uncalibrated one is proportional to its T-th power, and nothing has
to be scored twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape

import msgspec
import numpy as np
import numpy.typing as npt

from models.evaluation.metrics import BINS, calibration_error, confidence_bins
from models.heads import SENTIMENTS
from models.registry.manifest import Abstention

Floats = npt.NDArray[np.float64]
Bins = tuple[tuple[float, float, float], ...]
"""For each confidence bin: number of predictions, sum of confidences, number of correct ones."""


class AbstentionResult(msgspec.Struct, frozen=True):
    """Abstention of one head and language. n: rows; answered: rows at or over the threshold; right: correct ones among these."""

    n: int
    answered: int
    right: int


class Reliability(msgspec.Struct, frozen=True):
    """Reliability of predicted sentiments.

    before, after: language -> bins before and after calibration
    abstention: "HEAD.LANGUAGE" -> effect of the abstention threshold
    """

    before: dict[str, Bins]
    after: dict[str, Bins]
    abstention: dict[str, AbstentionResult]


def reliability(
    labels: Sequence[str],
    probabilities: Floats,
    heads: Sequence[str],
    languages: Sequence[str],
    temperatures: Mapping[str, float],
    abstain: Mapping[str, Abstention],
) -> Reliability:
    """Compute the reliability of N predictions. Classes that do not occur in `labels` are never predicted.

    Args:
        labels: true sentiments (N,).
        probabilities: calibrated, (N, 3).
        heads: head of each row (N,).
        languages: language of each row (N,).
        temperatures: "HEAD.LANGUAGE" -> temperature.
        abstain: "HEAD.LANGUAGE" -> abstention rule.
    """
    classes = [i for i, name in enumerate(SENTIMENTS) if name in set(labels)]
    truth = np.array([SENTIMENTS.index(label) for label in labels])
    keys = [f"{head}.{language}" for head, language in zip(heads, languages, strict=True)]
    scale = np.array([temperatures.get(key, _temperature(temperatures, head)) for key, head in zip(keys, heads, strict=True)])
    limited = np.clip(probabilities[:, classes], 1e-300, None)
    raw = limited ** scale[:, None]
    places = np.array(classes)
    found: dict[str, dict[str, Bins]] = {"before": {}, "after": {}}
    for name, values in (("before", raw), ("after", limited)):
        shares = values / values.sum(1, keepdims=True)
        right = places[shares.argmax(1)] == truth
        for language in sorted(set(languages)):
            mine = np.array([each == language for each in languages])
            bins = confidence_bins(1, np.zeros(int(mine.sum()), dtype=int), shares.max(1)[mine], right[mine])[0]
            found[name][language] = tuple((float(n), float(c), float(r)) for n, c, r in bins.T)
    shares = limited / limited.sum(1, keepdims=True)
    right = places[shares.argmax(1)] == truth
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for i, key in enumerate(keys):
        if key in abstain:
            answered = bool(shares[i].max() >= abstain[key].threshold)
            for column, value in enumerate((1, answered, answered and bool(right[i]))):
                counts[key][column] += int(value)
    return Reliability(found["before"], found["after"], {key: AbstentionResult(*values) for key, values in sorted(counts.items())})


def _temperature(temperatures: Mapping[str, float], head: str) -> float:
    """The temperature of a head without one for the language: its own, as of a published set's outputs, or the English one."""
    return temperatures.get(head, temperatures.get(f"{head}.en", 1.0))


def merge_reliability(parts: Sequence[Reliability]) -> Reliability:
    """The sums over several files."""
    before: dict[str, Bins] = {}
    after: dict[str, Bins] = {}
    abstention: dict[str, AbstentionResult] = {}
    for part in parts:
        for total, more in ((before, part.before), (after, part.after)):
            for language, bins in more.items():
                old = total.get(language, ((0.0, 0.0, 0.0),) * BINS)
                total[language] = tuple((a + x, b + y, c + z) for (a, b, c), (x, y, z) in zip(old, bins, strict=True))
        for key, each in part.abstention.items():
            was = abstention.get(key, AbstentionResult(0, 0, 0))
            abstention[key] = AbstentionResult(was.n + each.n, was.answered + each.answered, was.right + each.right)
    return Reliability(before, after, abstention)


def ece_of_bins(bins: Bins) -> float:
    """Expected calibration error of summed bins."""
    return float(calibration_error(np.array(bins).T))


def diagram(found: Reliability) -> str:
    """Reliability diagram as SVG, one panel per language: accuracy over confidence before (hollow) and after (filled) calibration."""
    size, gap, edge = 260, 60, 46
    panels = []
    for number, language in enumerate(sorted(found.after)):
        left = edge + number * (size + gap)
        panels.append(_panel(language, found.before.get(language, ()), found.after[language], left, 34, size))
    width = edge + max(1, len(found.after)) * (size + gap)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{size + 92}" viewBox="0 0 {width} {size + 92}" '
        'font-family="sans-serif" font-size="12">\n'
        "<title>Reliability of predicted sentiment by language</title>\n"
        f'<rect width="{width}" height="{size + 92}" fill="white"/>\n' + "\n".join(panels) + "\n</svg>\n"
    )


def _panel(language: str, before: Bins, after: Bins, left: int, top: int, size: int) -> str:
    lines = [
        f'<rect x="{left}" y="{top}" width="{size}" height="{size}" fill="none" stroke="#999"/>',
        f'<line x1="{left}" y1="{top + size}" x2="{left + size}" y2="{top}" stroke="#999" stroke-dasharray="4 4"/>',
        f'<text x="{left}" y="{top - 12}" font-weight="bold">{escape(language)}: ECE {ece_of_bins(before):.3f} before (hollow), '
        f"{ece_of_bins(after):.3f} after</text>"
        if before
        else f'<text x="{left}" y="{top - 12}">{escape(language)}</text>',
        f'<text x="{left + size // 2}" y="{top + size + 34}" text-anchor="middle">confidence</text>',
        f'<text x="{left - 32}" y="{top + size // 2}" text-anchor="middle" transform="rotate(-90 {left - 32} {top + size // 2})">'
        "accuracy</text>",
    ]
    for tick in (0.0, 0.5, 1.0):
        lines.append(f'<text x="{left + tick * size:.0f}" y="{top + size + 16}" text-anchor="middle">{tick:g}</text>')
        lines.append(f'<text x="{left - 6}" y="{top + size - tick * size + 4:.0f}" text-anchor="end">{tick:g}</text>')
    for bins, fill in ((before, "white"), (after, "#0072b2")):
        most = max((n for n, _, _ in bins), default=1.0) or 1.0
        for n, confidence, right in bins:
            if n:
                x, y = left + size * confidence / n, top + size - size * right / n
                lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{2 + 6 * (n / most) ** 0.5:.1f}" fill="{fill}" stroke="#0072b2"/>')
    return "\n".join(lines)
