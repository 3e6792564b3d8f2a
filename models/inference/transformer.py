"""The default classifier: our bilingual encoder behind the Classifier port.

    documents ─▶ model_text ─▶ unique (text, company) ─▶ token ids ─▶ token-budget batches ─▶ one forward pass each ─▶ predictions

Documents and their companies share batches, and a text that occurs twice is scored once.
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
from models.heads import MATERIALITY, SET_SENTIMENTS, sentiment_columns, sentiment_head, sentiment_set
from models.inference.agreement_record import AgreementRecord
from models.inference.canonical import canonical, model_text
from models.inference.classifier import Document, Materiality, Prediction, SentimentProbabilities, sigmoid, softmax
from models.inference.encoding import around, compose, encode_pairs
from models.inference.engine import EngineOutput, Floats, choose_engine, engine_in
from models.inference.network import Network, unpack_weights
from models.registry.manifest import CONFIG, TOKENIZER, WEIGHTS, Manifest, read_shape, read_verified

FALLBACK = "fallback"
"""Key in the manifest's thresholds: the probability from which the most probable topic applies when none reaches its own threshold."""
NEUTRAL = SentimentProbabilities(0.0, 1.0, 0.0)
LEAD_CHARACTERS = {"zh": 120}  # characters that certainly fit the model's length; a company's mention beyond them is moved forward
LEAD_CHARACTERS_ELSE = 320


class ExtraTopic(Protocol):
    """A topic that is not an output of the network but computed from its pooled vector."""

    @property
    def key(self) -> str:
        """The topic's key, as stored and sent."""
        ...

    def probability(self, pooled: Floats) -> float:
        """Probability that the topic applies to a text with this pooled vector (H,); it applies from 0.5."""
        ...


class TransformerClassifier:
    """Classifies documents with our network. Not thread safe.

    Args:
        network: the network in fp32.
        tokenizer: its tokenizer.
        manifest: calibration and labels of the version.
        max_tokens: documents are cut at this length; None: the length used in training.
        dtype: precision of the encoder; None selects the fastest that agrees with fp32 on this machine (models/inference/engine.py).
        threads: CPU cores to use; None: all.
        record: engines that agreed with fp32 at an earlier start; None: they are compared.
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
        record: AgreementRecord | None = None,
    ) -> None:
        network.eval()
        if dtype is None:
            self._engine, dtype = choose_engine(network, tokenizer, threads, record)
        else:
            self._engine = engine_in(dtype, network, threads)
        self._network = network.cast_encoder(dtype)
        self._tokenizer = tokenizer
        self._manifest = manifest
        self._max_tokens = min(max_tokens or manifest.max_tokens, network.shape.positions // 2)
        self._canonical = MATERIALITY in network.shape.outputs  # canonical text came with this head
        self._risks = manifest.risks or RISK_KEYS
        self._cuts: dict[tuple[str, str], tuple[float, ...]] = {}
        self.extra_topics: tuple[ExtraTopic, ...] = ()
        """The analysts' own topics (models/inference/own_topics.py), computed from the same forward pass."""

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None, max_tokens: int | None = None, dtype: torch.dtype | None = None) -> Self:
        """Load a version folder, verifying the hash of every file. Arguments as for the class. Raises ModelError."""
        if threads is not None:
            torch.set_num_threads(threads)
        manifest, contents = read_verified(folder)
        shape = read_shape(contents[CONFIG])
        network = Network(shape)  # not on the meta device, whose imports take 4 s where this takes 0.3 s
        try:
            network.load_state_dict(unpack_weights(contents[WEIGHTS]), assign=True)
            tokenizer = Tokenizer.from_buffer(contents[TOKENIZER])
        except (RuntimeError, ValueError, KeyError) as error:
            message = f"{folder}: the weights or the tokenizer do not fit {CONFIG} ({error})"
            raise ModelError(message) from error
        record = AgreementRecord(manifest.files)
        return cls(network, tokenizer, manifest, max_tokens=max_tokens, dtype=dtype, threads=threads, record=record)

    @property
    def version(self) -> str:
        """The version name in the manifest."""
        return self._manifest.version

    @property
    def network(self) -> Network:
        """The network, for attributions and entity tags."""
        return self._network

    @property
    def precision(self) -> str:
        """Precision of the encoder: "bfloat16" or "float32"."""
        return str(self._network.words.weight.dtype).removeprefix("torch.")

    @property
    def device(self) -> torch.device:
        """Device of the encoder; attributions and entity tags are computed on the CPU."""
        return self._engine.device

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the network."""
        return self._tokenizer

    @property
    def max_tokens(self) -> int:
        """Length at which a text is cut, special tokens included."""
        return self._max_tokens

    @property
    def manifest(self) -> Manifest:
        """Description, calibration and origin of the version."""
        return self._manifest

    def text_of(self, title: str, text: str) -> str:
        """The text that the network reads: in canonical form, except for versions that were trained without it."""
        return model_text(title, text) if self._canonical else compose(title, text)

    def company_pair(self, text: str, company: str, language: str) -> tuple[str, str]:
        """The pair of a text, from `text_of`, and a company that is scored."""
        return company_pair(text, company, language, in_canonical_form=self._canonical)

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        """Classify documents.

        Returns:
            One prediction per document, in order. A document's prediction does not depend on the others (to 1e-3 in fp32, 0.01 in
            bf16). An empty document is neutral with the topic "other".

        Raises:
            ModelError: the network fails.
        """
        texts = [self.text_of(document.title, document.text) for document in documents]
        places: dict[tuple[str, str], int] = {}
        for text, document in zip(texts, documents, strict=True):
            if text:
                places.setdefault((text, ""), len(places))
                for company in document.companies:
                    places.setdefault(self.company_pair(text, company, document.language), len(places))
        logits, pooled = self._forward(list(places))
        scored = [place for place, text in enumerate(texts) if text]
        rows = [places[texts[place], ""] for place in scored]
        languages = [documents[place].language for place in scored]
        sentiments = self._sentiments(logits, rows, [sentiment_head("", documents[place].genre, logits) for place in scored], languages)
        topics = self._over_threshold(logits["topics"][rows], "topics", languages)
        risks = self._over_threshold(logits["risks"][rows], "risks", languages) if "risks" in logits else [{} for _ in scored]
        materialities = self._materialities(logits[MATERIALITY][rows], languages) if MATERIALITY in logits else [None for _ in scored]
        pairs = [
            (places[self.company_pair(texts[place], company, documents[place].language)], documents[place].language)
            for place in scored
            for company in documents[place].companies
        ]
        company = sentiment_head("company", "", logits)
        towards = iter(self._sentiments(logits, [row for row, _ in pairs], [company] * len(pairs), [language for _, language in pairs]))
        found = [Prediction(NEUTRAL, {"other": 1.0}, (NEUTRAL,) * len(document.companies)) for document in documents]
        for n, place in enumerate(scored):
            own = self._own_topics(pooled[rows[n]])
            found[place] = Prediction(
                sentiments[n], topics[n] | own, tuple(islice(towards, len(documents[place].companies))), risks[n], materialities[n]
            )
        return found

    def set_sentiments(self, documents: Sequence[Document], source: str) -> list[SentimentProbabilities] | None:
        """The sentiment of each document, or towards its first company, by the conventions of a published set.

        Returns:
            One per document, in order; None if the model has no outputs for the set.
        """
        sets = self._manifest.sentiment_sets
        names = [sentiment_set(source, document.companies[0] if document.companies else "") for document in documents]
        if not set(names) <= set(sets):
            return None
        texts = [self.text_of(document.title, document.text) for document in documents]
        pairs = [
            self.company_pair(text, document.companies[0] if document.companies else "", document.language)
            for text, document in zip(texts, documents, strict=True)
        ]
        values = self._forward(pairs).logits[SET_SENTIMENTS]
        columns = sentiment_columns(sets)
        rows = np.stack(
            [values[n, columns[name]] / self._manifest.temperatures.get(f"{SET_SENTIMENTS}.{name}", 1.0) for n, name in enumerate(names)]
        )
        return [SentimentProbabilities(*row) for row in softmax(rows).tolist()]

    def logits(self, pairs: Sequence[tuple[str, str]]) -> dict[str, Floats]:
        """Raw logits (N, size) by head, without token tags, for N pairs of a text and a company or ""."""
        return self._forward(pairs).logits

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Pooled vectors (N, H) of N texts; own topics are trained on them."""
        return self._forward([(self.text_of("", text), "") for text in texts]).pooled

    def _forward(self, pairs: Sequence[tuple[str, str]]) -> EngineOutput:
        try:
            return self._engine.read(encode_pairs(self._tokenizer, pairs, self._max_tokens))
        except RuntimeError as error:
            message = f"the model {self.version} could not score {len(pairs)} texts ({error})"
            raise ModelError(message) from error

    def temperature(self, head: str, language: str) -> float:
        """The calibration temperature: logits are divided by it.

        Args:
            head: name of the head.
            language: language of the text; for the head `labels`, the training set. A language without a temperature uses the
                English one; a set without one uses 1.
        """
        temperatures = self._manifest.temperatures
        return temperatures.get(f"{head}.{language}", temperatures.get(f"{head}.en", 1.0))

    def thresholds(self, head: str, language: str) -> tuple[float, ...]:
        """The probability from which each topic, or each risk event, applies to texts in a language."""
        if (head, language) not in self._cuts:
            keys, prefix = (TOPIC_KEYS, "") if head == "topics" else (self._risks, "risk:")
            known = self._manifest.thresholds
            self._cuts[head, language] = tuple(known.get(f"{prefix}{key}.{language}", known.get(f"{prefix}{key}", 0.5)) for key in keys)
        return self._cuts[head, language]

    def fallback(self, probabilities: Floats, language: str) -> int:
        """Index of the topic of a text for which none of the probabilities (21,) reaches its threshold.

        Returns:
            The most probable topic, if its probability is at least the language's FALLBACK; else "other".
        """
        best = int(probabilities.argmax())
        known = self._manifest.thresholds
        floor = known.get(f"{FALLBACK}.{language}", known.get(FALLBACK, 0.0))
        return best if probabilities[best] >= floor else TOPIC_KEYS.index("other")

    def _sentiments(
        self, logits: Mapping[str, Floats], rows: Sequence[int], heads: Sequence[str], languages: Sequence[str]
    ) -> list[SentimentProbabilities]:
        """Sentiment of each of `rows`, by the head and language at the same position."""
        found = np.zeros((len(rows), 3))
        for head in set(heads):
            mine = [n for n, name in enumerate(heads) if name == head]
            scale = np.array([self.temperature(head, languages[n]) for n in mine])[:, None]
            found[mine] = softmax(logits[head][[rows[n] for n in mine]] / scale)
        return [SentimentProbabilities(*row) for row in found.tolist()]

    def _over_threshold(self, logits: Floats, head: str, languages: Sequence[str]) -> list[dict[str, float]]:
        """For each row of logits (N, C) the labels at or over their thresholds, most probable first; at least one topic."""
        keys = TOPIC_KEYS if head == "topics" else self._risks
        cuts = np.array([self.thresholds(head, language) for language in languages]).reshape(len(languages), len(keys))
        scale = np.array([self.temperature(head, language) for language in languages])[:, None]
        probabilities = sigmoid(logits / scale) if len(logits) else logits.astype(np.float64)
        over = probabilities >= cuts
        if head == "topics" and len(logits):
            for n in np.flatnonzero(~over.any(1)).tolist():
                over[n, self.fallback(probabilities[n], languages[n])] = True
        found: list[dict[str, float]] = [{} for _ in languages]
        places, columns = np.nonzero(over)
        values = probabilities[places, columns]
        for n in np.lexsort((-values, places)).tolist():
            found[places[n]][keys[columns[n]]] = float(values[n])
        return found

    def _materialities(self, logits: Floats, languages: Sequence[str]) -> list[Materiality | None]:
        """Materiality for each row of logits (N, 3)."""
        scale = np.array([self.temperature(MATERIALITY, language) for language in languages])[:, None]
        probabilities = np.minimum.accumulate(sigmoid(logits / scale), axis=1) if len(logits) else logits
        return [Materiality(*row) for row in probabilities.tolist()]

    def _own_topics(self, pooled: Floats) -> dict[str, float]:
        """The own topics that apply to a text with this pooled vector (H,), with their probabilities."""
        probabilities = {topic.key: topic.probability(pooled) for topic in self.extra_topics}
        return {key: probability for key, probability in probabilities.items() if probability >= 0.5}


def company_pair(text: str, company: str, language: str, *, in_canonical_form: bool = True) -> tuple[str, str]:
    """The pair of text and company that is scored; the text starts near the mention where that is late."""
    name = company.strip()
    if name and in_canonical_form:
        name = canonical(name)
    return (around(text, name, LEAD_CHARACTERS.get(language, LEAD_CHARACTERS_ELSE)), name) if name else (text, "")
