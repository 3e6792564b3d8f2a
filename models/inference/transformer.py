"""The classifier of every run: the bilingual encoder behind the port.

    documents ─▶ compose ─▶ unique (text, company) ─▶ token ids ─▶ token-budget batches ─▶ one forward each ─▶ predictions

A document and its companies are scored in the same batches, and a text that comes twice is scored once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from tokenizers import Tokenizer

from core.errors import ModelError
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.heads import sentiment_head
from models.inference.classifier import Document, Prediction, Sentiment
from models.inference.encoding import around, compose, encode_pairs
from models.inference.engine import Floats, Reading, choose, engine_in
from models.inference.network import Network
from models.inference.probabilities import sigmoid, softmax
from models.inference.weight_packing import unpack_weights
from models.registry.manifest import CONFIG, TOKENIZER, WEIGHTS, Manifest, read_shape, read_verified

NEUTRAL = Sentiment(0.0, 1.0, 0.0)
LEAD_CHARACTERS = {"zh": 120}  # of a text surely inside the model's length, when looking for a company's mention
LEAD_CHARACTERS_ELSE = 320


class ExtraTopic(Protocol):
    """A topic that is no output of the network, but is read from its pooled vector."""

    @property
    def key(self) -> str:
        """What is stored and sent."""
        ...

    def chance(self, pooled: Floats) -> float:
        """How likely it applies to a text with this pooled vector (H,); from 0.5 on it does."""
        ...


class TransformerClassifier:
    """Labels documents with a network of ours. Not thread safe: one thread at a time.

    network: in fp32
    max_tokens: longer documents are cut to their title and lead
    dtype: of the encoder; None chooses the fastest that agrees with fp32 here (models/inference/engine.py)
    threads: cores to use; None: all
    """

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        manifest: Manifest,
        *,
        max_tokens: int | None = None,
        dtype: torch.dtype | None = None,
        threads: int | None = None,
    ) -> None:
        network.eval()
        self._engine, chosen = choose(network, tokenizer, threads) if dtype is None else (engine_in(dtype, network, threads), dtype)
        self._network = network.cast_encoder(chosen)
        self._tokenizer = tokenizer
        self._manifest = manifest
        self._max_tokens = min(max_tokens or manifest.max_tokens, network.shape.positions // 2)
        self._topic_cuts = np.array([manifest.thresholds.get(key, 0.5) for key in TOPIC_KEYS])
        self.extra_topics: tuple[ExtraTopic, ...] = ()
        """The analysts' own topics (models/inference/own_topics.py): read from the same forward pass as all else."""
        self._risk_cuts = np.array([manifest.thresholds.get(f"risk:{key}", 0.5) for key in RISK_KEYS])

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
        return cls(network, tokenizer, manifest, max_tokens=max_tokens, dtype=dtype, threads=threads)

    @property
    def version(self) -> str:
        """The manifest's name for this model."""
        return self._manifest.version

    @property
    def network(self) -> Network:
        """The network itself, for attributions and tags."""
        return self._network

    @property
    def precision(self) -> str:
        """What the encoder computes in: "bfloat16" or "float32"."""
        return str(self._network.words.weight.dtype).removeprefix("torch.")

    @property
    def device(self) -> torch.device:
        """Where the encoder computes; attributions and tags are made on the CPU."""
        return self._engine.device

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns text into its ids."""
        return self._tokenizer

    @property
    def max_tokens(self) -> int:
        """Where a text is cut, its marks counted."""
        return self._max_tokens

    @property
    def manifest(self) -> Manifest:
        """What the model is and how it was made."""
        return self._manifest

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        """One prediction per document, in order; a document's result does not depend on its batch (to 1e-3; 0.01 in bf16).

        An empty document is neutral and "other". Raises ModelError.
        """
        texts = [compose(document.title, document.text) for document in documents]
        places: dict[tuple[str, str], int] = {}
        for text, document in zip(texts, documents, strict=True):
            if text:
                places.setdefault((text, ""), len(places))
                for company in document.companies:
                    places.setdefault(company_pair(text, company, document.language), len(places))
        logits, pooled = self._forward(list(places))
        scored = [place for place, text in enumerate(texts) if text]
        rows = [places[texts[place], ""] for place in scored]
        languages = [documents[place].language for place in scored]
        tones = self._tones(logits, rows, [sentiment_head("", documents[place].genre, logits) for place in scored], languages)
        topics = self._said(logits["topics"][rows], "topics", languages)
        risks = self._said(logits["risks"][rows], "risks", languages) if "risks" in logits else [{} for _ in scored]
        pairs = [
            (places[company_pair(texts[place], company, documents[place].language)], documents[place].language)
            for place in scored
            for company in documents[place].companies
        ]
        company = sentiment_head("company", "", logits)
        towards = iter(self._tones(logits, [row for row, _ in pairs], [company] * len(pairs), [language for _, language in pairs]))
        found = [Prediction(NEUTRAL, {"other": 1.0}, (NEUTRAL,) * len(document.companies)) for document in documents]
        for n, place in enumerate(scored):
            own = self._own_topics(pooled[rows[n]])
            found[place] = Prediction(tones[n], topics[n] | own, tuple(islice(towards, len(documents[place].companies))), risks[n])
        return found

    def logits(self, pairs: Sequence[tuple[str, str]]) -> dict[str, Floats]:
        """Raw logits (N, size) by head of (text, company or "") in their order; without the tags of tokens."""
        return self._forward(pairs).logits

    def vectors(self, texts: Sequence[str]) -> Floats:
        """The pooled vectors (N, H) of texts, in order: what own topics are learned on."""
        return self._forward([(text, "") for text in texts]).pooled

    def _forward(self, pairs: Sequence[tuple[str, str]]) -> Reading:
        try:
            return self._engine.read(encode_pairs(self._tokenizer, pairs, self._max_tokens))
        except RuntimeError as error:
            message = f"the model {self.version} could not score {len(pairs)} texts ({error})"
            raise ModelError(message) from error

    def temperature(self, head: str, language: str) -> float:
        """What the logits of a head are divided by for texts in a language, or those of `labels` for a set's own.

        English stands in for a language that was not measured; a set that was not is left as it is.
        """
        temperatures = self._manifest.temperatures
        return temperatures.get(f"{head}.{language}", temperatures.get(f"{head}.en", 1.0))

    def _tones(self, logits: Mapping[str, Floats], rows: Sequence[int], heads: Sequence[str], languages: Sequence[str]) -> list[Sentiment]:
        """The sentiment of each of `rows`, by the head and in the language beside it."""
        found = np.zeros((len(rows), 3))
        for head in set(heads):
            mine = [n for n, name in enumerate(heads) if name == head]
            scale = np.array([self.temperature(head, languages[n]) for n in mine])[:, None]
            found[mine] = softmax(logits[head][[rows[n] for n in mine]] / scale)
        return [Sentiment(*row) for row in found.tolist()]

    def _said(self, logits: Floats, head: str, languages: Sequence[str]) -> list[dict[str, float]]:
        """For each row of (N, C) the topics or risks at or over their thresholds, likeliest first; of topics the likeliest at least."""
        keys, cuts = (TOPIC_KEYS, self._topic_cuts) if head == "topics" else (RISK_KEYS, self._risk_cuts)
        scale = np.array([self.temperature(head, language) for language in languages])[:, None]
        chances = sigmoid(logits / scale) if len(logits) else logits.astype(np.float64)
        over = chances >= cuts
        if head == "topics" and len(logits):
            silent = ~over.any(1)
            over[silent, chances[silent].argmax(1)] = True
        found: list[dict[str, float]] = [{} for _ in languages]
        places, columns = np.nonzero(over)
        said = chances[places, columns]
        for n in np.lexsort((-said, places)).tolist():
            found[places[n]][keys[columns[n]]] = float(said[n])
        return found

    def _own_topics(self, pooled: Floats) -> dict[str, float]:
        """The analysts' own topics that apply to a text's pooled vector (H,)."""
        chances = {topic.key: topic.chance(pooled) for topic in self.extra_topics}
        return {key: chance for key, chance in chances.items() if chance >= 0.5}


def company_pair(text: str, company: str, language: str) -> tuple[str, str]:
    """What is scored for a company: its name beside the text, from near its mention when that is late."""
    name = company.strip()
    return (around(text, name, LEAD_CHARACTERS.get(language, LEAD_CHARACTERS_ELSE)), name) if name else (text, "")
