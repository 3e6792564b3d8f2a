"""The keyword classifier fulfils the Classifier contract and imports no heavy libraries."""

from __future__ import annotations

import subprocess
import sys

import pytest

from models.inference.classifier import Document
from models.inference.keyword import KeywordClassifier


@pytest.mark.parametrize(
    ("title", "language", "sign"),
    [
        ("Velmont defaults on its bonds", "en", -1),
        ("Corvia profit jumps and beats estimates", "en", 1),
        ("Dexfield to hold its annual meeting", "en", 0),
        ("Lumera denies fraud", "en", 0),
        ("华泽科技股价暴跌", "zh", -1),
        ("瑞丰股份净利润大增", "zh", 1),
        ("安达集团将召开股东大会", "zh", 0),
    ],
)
def test_keywords_determine_the_sentiment(title, language, sign):
    tone = KeywordClassifier().classify([Document(title, "", language)])[0].sentiment.tone
    assert (tone > 0.3) - (tone < -0.3) == sign


def test_empty_documents_are_neutral_and_results_are_complete():
    classifier = KeywordClassifier()
    documents = [Document("Velmont defaults", "", "en", ("Velmont",)), Document("", ""), Document("瑞丰股份大涨", "", "zh")]
    found = classifier.classify(documents)
    assert classifier.classify([]) == []
    assert found == [classifier.classify([document])[0] for document in documents]
    assert found[1].sentiment.neutral == 1.0
    assert len(found[0].companies) == 1
    for prediction in found:
        assert sum(prediction.sentiment) == pytest.approx(1.0)
        assert prediction.topics
    assert classifier.version == "keyword-1"


def test_the_keyword_classifier_imports_no_heavy_library():
    code = "import sys, models.inference.keyword; sys.exit(bool({'torch', 'transformers', 'tokenizers', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("module", ["stream.worker.app", "tocsin.services.factory", "dashboard.app"])
def test_a_process_without_a_model_imports_no_torch(module):
    """A worker of the roles watch and notify, and a dashboard, start in a third of the time and take 200 MB less."""
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'transformers', 'tokenizers'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
