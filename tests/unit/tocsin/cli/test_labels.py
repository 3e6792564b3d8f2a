"""Commands `labels join` and `labels contrast`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from models.training.contrast import generate
from models.training.label_files import label_files, read_label_file
from tocsin.cli.main import main


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]


def test_join_adds_the_texts_of_the_streams(tmp_path, capsys):
    annotation = next(iter(read_label_file(label_files()[0])))
    (tmp_path / "stream").mkdir()
    item = {"id": annotation["stream_id"], "lang": "en", "title": "Northgate cuts its forecast", "text": "Orders fell."}
    with gzip.open(tmp_path / "stream" / f"{annotation['stream']}.jsonl.gz", "wt", encoding="utf8") as file:
        file.write(json.dumps(item) + "\n")
    assert main(["labels", "join", "--data", str(tmp_path), "--out", str(tmp_path / "rows.jsonl")]) == 0
    (row,) = rows_of(tmp_path / "rows.jsonl")
    assert {key: row[key] for key in annotation} == annotation
    assert "Orders fell." in str(row["text"])
    annotations = sum(len(list(read_label_file(path))) for path in label_files())
    assert f"joined 1 of {annotations}" in capsys.readouterr().out


def test_contrast_writes_sentences_of_the_training_templates(tmp_path):
    out = tmp_path / "contrast.jsonl"
    assert main(["labels", "contrast", "--per-template", "1", "--out", str(out)]) == 0
    assert [row["text"] for row in rows_of(out)] == [sentence.text for sentence in generate(16, 1, held_out=False)]
    assert set(rows_of(out)[0]) == {"lang", "kind", "label", "text", "company", "company_label"}
