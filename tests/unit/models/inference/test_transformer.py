"""The classifier with heads of new and of older versions."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from core.taxonomy import RISK_KEYS
from models.heads import MATERIALITY, SET_SENTIMENTS
from models.inference.classifier import Document
from models.inference.transformer import FALLBACK, TransformerClassifier
from tests.helpers.tiny_model import HEADS, shipped_tokenizer, tiny_classifier, tiny_network

FLASH = Document("", "BREAKING: Northgate shares plunge", "en", ("Northgate",))
PLAIN = Document("", "Northgate shares plunge", "en", ("Northgate",))


def classifier_with(outputs: dict[str, int], **manifest: object) -> TransformerClassifier:
    plain = tiny_classifier(tiny_network({**HEADS, **outputs}))
    changed = msgspec.structs.replace(plain.manifest, **manifest)
    return TransformerClassifier(plain.network, shipped_tokenizer(), changed, dtype=torch.float32)


def test_a_version_with_materiality_reads_canonical_text():
    classifier = classifier_with({MATERIALITY: 3})
    first, second = classifier.classify([FLASH, PLAIN])
    assert first == second
    assert first.materiality is not None
    assert 1 >= first.materiality.background >= first.materiality.relevant >= first.materiality.urgent >= 0
    assert classifier.text_of("", FLASH.text) == PLAIN.text


def test_an_older_version_reads_the_text_as_it_is():
    classifier = classifier_with({})
    first, second = classifier.classify([FLASH, PLAIN])
    assert first.sentiment != second.sentiment
    assert first.materiality is None
    assert classifier.text_of("Title", FLASH.text) == f"Title {FLASH.text}"
    assert classifier.company_pair("text", "ＡＢＣ", "en") == ("text", "ＡＢＣ")


def test_an_older_version_knows_fewer_risk_events():
    older = tuple(key for key in RISK_KEYS if key != "insolvency")
    classifier = classifier_with({"risks": len(older)}, risks=older, thresholds={f"risk:{key}": 0.0 for key in older})
    assert set(classifier.classify([PLAIN])[0].risks) == set(older)


def test_sentiment_by_the_conventions_of_a_published_set():
    classifier = classifier_with({SET_SENTIMENTS: 6}, sentiment_sets=("fpb", "sentfin.company"))
    assert classifier.set_sentiments([PLAIN], "fpb") is None
    towards = classifier.set_sentiments([PLAIN], "sentfin")
    whole = classifier.set_sentiments([Document("", PLAIN.text, "en")], "fpb")
    assert towards is not None
    assert whole is not None
    assert [sum(each) for each in (*towards, *whole)] == [pytest.approx(1)] * 2
    assert towards != whole


def test_thresholds_and_fallback_by_language():
    classifier = classifier_with({}, thresholds={"credit": 0.9, "credit.zh": 0.2, FALLBACK: 0.0, f"{FALLBACK}.zh": 1.0})
    keys = classifier.manifest.topics
    assert [classifier.thresholds("topics", language)[keys.index("credit")] for language in ("en", "zh")] == [0.9, 0.2]
    values = np.zeros(len(keys), dtype=np.float32)
    values[3] = 0.4
    assert (classifier.fallback(values, "en"), classifier.fallback(values, "zh")) == (3, keys.index("other"))
