"""The classifier of every run: the bilingual encoder behind the port.

    documents ─▶ compose ─▶ unique (text, company) ─▶ token ids ─▶ token-budget batches ─▶ one forward each ─▶ predictions

A document and its companies are scored in the same batches, and a text that comes twice is scored once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from models.batching import pack, rows_of, width_of
from models.classifier import Document, Prediction, Sentiment
from models.encoding import around, compose, encode_pairs, pad
from models.network import SENTIMENTS, Network
from models.registry import CONFIG, TOKENIZER, WEIGHTS, Manifest, read_shape, read_verified
from models.storage import unpack_weights
from spine.errors import ModelError
from spine.taxonomy import TOPIC_KEYS

Floats = npt.NDArray[np.float32]

BATCH_TOKENS = 2048
NEUTRAL = Sentiment(0.0, 1.0, 0.0)
LEAD_CHARACTERS = {"zh": 120}  # of a text surely inside the model's length, when looking for a company's mention
LEAD_CHARACTERS_ELSE = 320


def bf16_is_fast() -> bool:
    """Whether this CPU multiplies bf16 matrices in hardware (AMX); elsewhere fp32 is as fast and exact."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


class TransformerClassifier:
    """Labels documents with a network of ours. Not thread safe: one thread at a time.

    max_tokens: longer documents are cut to their title and lead
    batch_tokens: padded tokens in one forward pass
    dtype: of the encoder; None chooses bf16 where the CPU is made for it
    """

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        manifest: Manifest,
        *,
        max_tokens: int | None = None,
        batch_tokens: int = BATCH_TOKENS,
        dtype: torch.dtype | None = None,
    ) -> None:
        chosen = dtype if dtype is not None else torch.bfloat16 if bf16_is_fast() else torch.float32
        self._network = network.eval().cast_encoder(chosen)
        self._tokenizer = tokenizer
        self._manifest = manifest
        self._max_tokens = min(max_tokens or manifest.max_tokens, network.shape.positions // 2)
        self._batch_tokens = batch_tokens
        self._thresholds = np.array([manifest.thresholds.get(key, 0.5) for key in TOPIC_KEYS])

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None, max_tokens: int | None = None, dtype: torch.dtype | None = None) -> Self:
        """The classifier in a version folder, every byte of it checked. Raises ModelError."""
        if threads is not None:
            torch.set_num_threads(threads)
        manifest, contents = read_verified(folder)
        shape = read_shape(contents[CONFIG])
        network = Network(shape)  # not on the meta device: that imports half of torch first, 4 s where this takes 0.3
        try:
            network.load_state_dict(unpack_weights(contents[WEIGHTS]), assign=True)
            tokenizer = Tokenizer.from_buffer(contents[TOKENIZER])
        except (RuntimeError, ValueError, KeyError) as error:
            message = f"{folder}: the weights or the tokenizer do not fit {CONFIG} ({error})"
            raise ModelError(message) from error
        return cls(network, tokenizer, manifest, max_tokens=max_tokens, dtype=dtype)

    @property
    def version(self) -> str:
        """The manifest's name for this model."""
        return self._manifest.version

    @property
    def manifest(self) -> Manifest:
        """What the model is and how it was made."""
        return self._manifest

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        """One prediction per document, in order; a document's result does not depend on its batch (to 0.01 in bf16).

        An empty document is neutral and "other". Raises ModelError.
        """
        texts = [compose(document.title, document.text) for document in documents]
        places: dict[tuple[str, str], int] = {}
        for text, document in zip(texts, documents, strict=True):
            if text:
                places.setdefault((text, ""), len(places))
                for company in document.companies:
                    places.setdefault(_pair(text, company, document.language), len(places))
        sentiment, topics = self._logits(list(places))
        found = []
        for text, document in zip(texts, documents, strict=True):
            if not text:
                found.append(Prediction(NEUTRAL, {"other": 1.0}, (NEUTRAL,) * len(document.companies)))
                continue
            row = places[text, ""]
            pairs = [places[_pair(text, company, document.language)] for company in document.companies]
            found.append(
                Prediction(
                    self._sentiment(sentiment[row], "sentiment", document.language),
                    self._topics(topics[row], document.language),
                    tuple(self._sentiment(sentiment[pair], "company", document.language) for pair in pairs),
                )
            )
        return found

    def _logits(self, pairs: Sequence[tuple[str, str]]) -> tuple[Floats, Floats]:
        """(sentiment (N, 3), topics (N, 21)) of `pairs`, in their order."""
        ids = encode_pairs(self._tokenizer, pairs, self._max_tokens)
        sentiment = np.zeros((len(ids), len(SENTIMENTS)), np.float32)
        topics = np.zeros((len(ids), len(TOPIC_KEYS)), np.float32)
        try:
            with torch.inference_mode():
                widths = [width_of(len(row)) for row in ids]
                for batch in pack(widths, self._batch_tokens):
                    width = widths[batch[0]]
                    shape = (rows_of(len(batch), width, self._batch_tokens), width)
                    one, two = self._network(pad([ids[i] for i in batch], shape))
                    sentiment[batch], topics[batch] = one[: len(batch)].numpy(), two[: len(batch)].numpy()
        except RuntimeError as error:
            message = f"the model {self.version} could not score {len(ids)} texts ({error})"
            raise ModelError(message) from error
        return sentiment, topics

    def _temperature(self, head: str, language: str) -> float:
        temperatures = self._manifest.temperatures
        return temperatures.get(f"{head}.{language}", temperatures.get(f"{head}.en", 1.0))

    def _sentiment(self, logits: Floats, head: str, language: str) -> Sentiment:
        scaled = logits.astype(np.float64) / self._temperature(head, language)
        weights = np.exp(scaled - scaled.max())
        negative, neutral, positive = (weights / weights.sum()).tolist()
        return Sentiment(negative, neutral, positive)

    def _topics(self, logits: Floats, language: str) -> dict[str, float]:
        """Topics at or over their thresholds, likeliest first; the likeliest alone when none is."""
        chance = 1.0 / (1.0 + np.exp(-logits.astype(np.float64) / self._temperature("topics", language)))
        order = np.argsort(-chance).tolist()
        said = {TOPIC_KEYS[i]: float(chance[i]) for i in order if chance[i] >= self._thresholds[i]}
        return said or {TOPIC_KEYS[order[0]]: float(chance[order[0]])}


def _pair(text: str, company: str, language: str) -> tuple[str, str]:
    """What is scored for a company: its name beside the text, from near its mention when that is late."""
    name = company.strip()
    return (around(text, name, LEAD_CHARACTERS.get(language, LEAD_CHARACTERS_ELSE)), name) if name else (text, "")
