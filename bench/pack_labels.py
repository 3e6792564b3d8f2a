"""Conversion of annotators' batch files into a label file, and the agreement of two annotators.

    items.jsonl: n, stream, stream_id, lang
    batch files: n, label, topics, materiality, companies, risks, sure (separated by tabs, no header)

python -m bench.pack_labels --items items.jsonl --out models/labels/NAME.tsv.gz BATCH.tsv ...
python -m bench.pack_labels --items items.jsonl --second SECOND.tsv ... -- BATCH.tsv ...       (agreement only)
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.training.label_files import LABELS, Annotation, write_label_file


def read_batches(paths: Iterable[Path]) -> dict[int, Annotation]:
    """Annotations by item number. Invalid lines are printed and left out."""
    found: dict[int, Annotation] = {}
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf8").splitlines(), start=1):
            if line.strip():
                try:
                    n, annotation = _parse(line)
                except (ValueError, KeyError, TypeError) as error:
                    print(f"{path.name}, line {number}: left out, {type(error).__name__} {error}")
                else:
                    found[n] = annotation
    return found


def _parse(line: str) -> tuple[int, Annotation]:
    n, label, topics, materiality, companies, risks, sure = line.split("\t")
    keys = [key for key in topics.split(",") if key]
    events = [key for key in risks.split(",") if key]
    if not keys or not set(keys) <= set(TOPIC_KEYS) or not set(events) <= set(RISK_KEYS) or int(materiality) not in range(4):
        message = f"topics {keys}, risks {events}, materiality {materiality}"
        raise ValueError(message)
    return int(n), {
        "label": LABELS[label],
        "topics": keys,
        "materiality": int(materiality),
        "companies": [{"name": name, "label": LABELS[towards]} for name, towards in json.loads(companies or "[]")],
        "risks": events,
        "sure": int(sure),
    }


MEASURES: Mapping[str, Callable[[Annotation, Annotation], bool]] = {
    "label": lambda a, b: a["label"] == b["label"],
    "first topic": lambda a, b: a["topics"][0] == b["topics"][0],
    "materiality >= 2": lambda a, b: (a["materiality"] >= 2) == (b["materiality"] >= 2),
    "risks": lambda a, b: set(a["risks"]) == set(b["risks"]),
}


def print_agreement(first: Mapping[int, Annotation], second: Mapping[int, Annotation], languages: Mapping[int, str]) -> None:
    """Print the shares of items on which two annotators agree, by language."""
    for language in ("en", "zh"):
        pairs = [(first[n], second[n]) for n in second if n in first and languages[n] == language]
        if not pairs:
            continue
        shares = {name: sum(agree(a, b) for a, b in pairs) / len(pairs) for name, agree in MEASURES.items()}
        sure = [(a, b) for a, b in pairs if a["sure"] and b["sure"]]
        shares["label, both sure"] = sum(a["label"] == b["label"] for a, b in sure) / max(1, len(sure))
        print(language, f"{len(pairs)} items, both sure of {len(sure)}:", {name: round(share, 3) for name, share in shares.items()})


def main() -> None:
    """Write a label file, or print the agreement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--second", type=Path, nargs="+")
    parser.add_argument("batches", type=Path, nargs="+")
    args = parser.parse_args()
    items: dict[int, dict[str, Any]] = {row["n"]: row for row in map(json.loads, args.items.read_text(encoding="utf8").splitlines())}
    annotations = read_batches(args.batches)
    if args.second:
        print_agreement(annotations, read_batches(args.second), {n: row["lang"] for n, row in items.items()})
    if args.out:
        rows = [{**each, **{key: items[n][key] for key in ("stream", "stream_id")}} for n, each in annotations.items() if n in items]
        print(f"{write_label_file(args.out, rows)} annotations written to {args.out}")


if __name__ == "__main__":
    main()
