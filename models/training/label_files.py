"""Label files: annotations without texts, joined by id to the texts of unlabelled streams.

    models/labels/*.tsv.gz: stream, stream_id, label, topics, materiality, companies, risks, sure
    DATA/stream/STREAM.jsonl.gz: id ─▶ title, text
    ─▶ rows in the schema of DATA/wire

The repository has the annotations only, because the texts belong to their publishers. label is n, o or p; topics and risks are keys
separated by commas; companies is JSON, [[name, label], ...].
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import ModelError
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.inference.encoding import compose
from models.training.examples import read_rows

FOLDER = Path(__file__).parent.parent / "labels"
COLUMNS = ("stream", "stream_id", "label", "topics", "materiality", "companies", "risks", "sure")
LABELS = {"n": "negative", "o": "neutral", "p": "positive"}
SOURCE = "labels"

Annotation = dict[str, Any]


def read_label_file(path: Path) -> Iterator[Annotation]:
    """Read a label file: rows in the schema of DATA/wire, without texts.

    Raises:
        ModelError: the file cannot be read, or a row is invalid; the message has its line number.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        message = f"{path}: cannot be read ({error})"
        raise ModelError(message) from error
    lines = csv.DictReader(io.StringIO(content.decode("utf8")), delimiter="\t", quoting=csv.QUOTE_NONE)
    if tuple(lines.fieldnames or ())[: len(COLUMNS)] != COLUMNS:
        message = f"{path}: columns {lines.fieldnames}, expected {', '.join(COLUMNS)}"
        raise ModelError(message)
    for number, line in enumerate(lines, start=2):
        try:
            yield _annotation(line)
        except (KeyError, ValueError, TypeError) as error:
            message = f"{path}, line {number}: {type(error).__name__} {error}; see models/training/label_files.py for the columns"
            raise ModelError(message) from error


def _annotation(line: Mapping[str, str]) -> Annotation:
    topics = [key for key in line["topics"].split(",") if key]
    risks = [key for key in line["risks"].split(",") if key]
    unknown = sorted({*topics} - {*TOPIC_KEYS}) + sorted({*risks} - {*RISK_KEYS})
    materiality = int(line["materiality"])
    if unknown:
        message = f"unknown keys {', '.join(unknown)}"
        raise ValueError(message)
    if not topics or not 0 <= materiality <= 3:
        message = f"{len(topics)} topics, materiality {materiality}"
        raise ValueError(message)
    companies = [{"name": name, "label": LABELS[label]} for name, label in json.loads(line["companies"] or "[]")]
    return {
        "stream": line["stream"],
        "stream_id": line["stream_id"],
        "label": LABELS[line["label"]],
        "topics": topics,
        "materiality": materiality,
        "companies": companies,
        "risks": risks,
        "sure": int(line["sure"]),
    }


def write_label_file(path: Path, annotations: Iterable[Mapping[str, Any]]) -> int:
    """Write annotations, rows in the schema of DATA/wire, without their texts, sorted by stream and id. Returns their number."""
    letters = {name: letter for letter, name in LABELS.items()}
    rows = sorted(annotations, key=lambda row: (str(row["stream"]), str(row["stream_id"])))
    text = io.StringIO()
    text.write("\t".join(COLUMNS) + "\n")
    for row in rows:
        companies = json.dumps([[c["name"], letters[c["label"]]] for c in row["companies"]], ensure_ascii=False, separators=(",", ":"))
        cells = (
            *(str(row["stream"]), str(row["stream_id"]), letters[row["label"]], ",".join(row["topics"]), str(row["materiality"])),
            *(companies, ",".join(row["risks"]), str(row["sure"])),
        )
        text.write("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in cells) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.getvalue().encode("utf8")
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return len(rows)


def join(annotations: Sequence[Annotation], streams: Path, *, source: str = SOURCE) -> list[dict[str, Any]]:
    """Join annotations to their texts.

    Args:
        annotations: annotations of label files.
        streams: folder of the streams, DATA/stream.
        source: `source` of the rows.

    Returns:
        Rows in the order of the annotations, without those whose item is not in the streams. If a stream has an id twice, the first
        item is used.

    Raises:
        ModelError: a stream cannot be read.
    """
    wanted: dict[str, set[str]] = {}
    for annotation in annotations:
        wanted.setdefault(str(annotation["stream"]), set()).add(str(annotation["stream_id"]))
    texts: dict[tuple[str, str], dict[str, Any]] = {}
    for stream, ids in wanted.items():
        path = streams / f"{stream}.jsonl.gz"
        if not path.is_file():
            continue
        for row in read_rows(path):
            if str(row.get("id")) in ids:
                texts.setdefault((stream, str(row["id"])), row)
    found = []
    for annotation in annotations:
        item = texts.get((str(annotation["stream"]), str(annotation["stream_id"])))
        if item is not None:
            title = str(item.get("title") or "").strip()
            rest = {"source": source, "lang": str(item.get("lang", "en")), "title": title, "text": compose(title, str(item["text"]))}
            found.append({**annotation, **rest, "insolvency_known": True})
    return found


def label_files(folder: Path = FOLDER) -> list[Path]:
    """Paths of the repository's label files, oldest first."""
    return sorted(folder.glob("*.tsv.gz"))


def label_rows(data: Path, folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Rows of all label files of the repository, joined to the streams in `data`. Raises ModelError."""
    annotations = [annotation for path in label_files(folder) for annotation in read_label_file(path)]
    return join(annotations, data / "stream") if annotations else []
