"""Classifier for a Hugging Face sequence-classification directory: sentiment only, the topic is always "other".

It loads offline, from safetensors only, and runs no code of the directory. Its labels must be named negative, neutral and positive,
or bearish and bullish. A model without a neutral class never predicts neutral. Probabilities are not calibrated here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from core.errors import ModelError
from models.heads import SENTIMENTS
from models.inference.canonical import model_text
from models.inference.classifier import Document, Prediction, SentimentProbabilities
from models.inference.encoding import around, pack

SYNONYMS = {"bearish": "negative", "bullish": "positive"}
NEUTRAL = SentimentProbabilities(0.0, 1.0, 0.0)
WINDOW_CHARACTERS = 320


def columns(names: dict[int, str]) -> list[int]:
    """The index in SENTIMENTS of each output, from id -> label of the directory. Raises ModelError for an unknown label."""
    found = []
    for _, name in sorted(names.items()):
        ours = SYNONYMS.get(name.lower(), name.lower())
        if ours not in SENTIMENTS:
            message = f"the model's label {name!r} is not one of {', '.join(SENTIMENTS)}: rename it in id2label of its config.json"
            raise ModelError(message)
        found.append(SENTIMENTS.index(ours))
    return found


class HuggingFaceClassifier:
    """Classifies documents with a transformers model. Not thread safe."""

    def __init__(self, model: Any, tokenizer: Any, version: str, *, max_tokens: int = 96, batch_tokens: int = 2048) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._version = version
        self._columns = columns({int(i): str(name) for i, name in model.config.id2label.items()})
        self._max_tokens = max_tokens
        self._batch_tokens = batch_tokens

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None, max_tokens: int | None = None) -> Self:
        """Load the model in `folder`.

        Args:
            folder: the directory.
            threads: CPU threads for torch; None keeps torch's setting.
            max_tokens: longer texts are truncated; None: 96.

        Raises:
            ModelError: it cannot be loaded offline, or has no safetensors.
        """
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        if threads is not None:
            torch.set_num_threads(threads)
        try:
            safe = {"local_files_only": True, "trust_remote_code": False}
            model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True, **safe)
            tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            message = f"{folder}: not a Hugging Face sequence-classification directory with safetensors ({error})"
            raise ModelError(message) from error
        return cls(model, tokenizer, f"hf-{folder.name}", max_tokens=max_tokens or 96)

    @property
    def version(self) -> str:
        """The name of the directory, after "hf-"."""
        return self._version

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        """One prediction per document, in order. The sentiment towards a company is that of the text around its mention."""
        texts = [model_text(document.title, document.text) for document in documents]
        unique = dict.fromkeys(text for text in texts if text)
        for text, document in zip(texts, documents, strict=True):
            unique.update(dict.fromkeys(around(text, company, WINDOW_CHARACTERS) for company in document.companies if text))
        scored = self._score(list(unique))
        found = []
        for text, document in zip(texts, documents, strict=True):
            towards = tuple(scored[around(text, company, WINDOW_CHARACTERS)] if text else NEUTRAL for company in document.companies)
            found.append(Prediction(scored[text] if text else NEUTRAL, {"other": 1.0}, towards))
        return found

    def _score(self, texts: list[str]) -> dict[str, SentimentProbabilities]:
        if not texts:
            return {}
        ids = self._tokenizer(texts, truncation=True, max_length=self._max_tokens)["input_ids"]
        scored = {}
        with torch.inference_mode():
            for batch in pack([len(row) for row in ids], self._batch_tokens):
                inputs = self._tokenizer.pad({"input_ids": [ids[i] for i in batch]}, return_tensors="pt")
                probabilities = self._model(**inputs).logits.float().softmax(-1).numpy().astype(np.float64)
                for i, row in zip(batch, probabilities, strict=True):
                    whole = [0.0, 0.0, 0.0]
                    for column, p in zip(self._columns, row.tolist(), strict=True):
                        whole[column] += p
                    scored[texts[i]] = SentimentProbabilities(*(p / sum(whole) for p in whole))
        return scored
