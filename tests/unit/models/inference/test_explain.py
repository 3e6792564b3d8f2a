"""Explanations: words with offsets and weights that sum to the log odds and predict the effect of deletion."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest
import torch
from captum.attr import IntegratedGradients

from bench.explanations import measure_deletion, without_words
from core.errors import ModelError
from models.inference.encoding import encode_pairs
from models.inference.entities import TokenPiece
from models.inference.explain import Word, explain, integrated_gradients, join_words, log_odds
from models.inference.loader import load_classifier
from models.inference.transformer import TransformerClassifier
from models.templates import fill_templates, read_templates
from tests.helpers.tiny_model import shipped_tokenizer, tiny_classifier, tiny_network
from tocsin.cli import main

TEXTS = (
    ("Brenholm Steel files for bankruptcy, down 3.5%", "en"),
    ("远舟控股公司债券未能如期偿付，构成违约", "zh"),
    ("  ㈱ソニー①  Ａｐｐｌｅ e\u0301té 😀 don't", "en"),
)


@pytest.fixture(scope="module")
def tiny() -> TransformerClassifier:
    network = tiny_network({"sentiment": 3, "topics": 21}, seed=2)
    with torch.no_grad():
        network.head("sentiment").weight.mul_(5)
    return tiny_classifier(network)


@pytest.mark.parametrize(("text", "language"), TEXTS)
def test_words_cover_every_character_except_white_space(tiny, text, language):
    found = explain(tiny, text, "", language)
    assert found.text == text.strip()
    text, at = found.text, 0
    for word in found.words:
        assert word.start >= at
        assert not text[at : word.start].strip()
        assert word.text == text[word.start : word.end] != ""
        at = word.end
    assert not text[at:].strip()


@pytest.mark.parametrize(("text", "language"), TEXTS)
def test_weights_sum_to_the_log_odds(tiny, text, language):
    """Completeness: the weights sum to the log odds of the text minus those of the text with all words blank."""
    found = explain(tiny, text, "", language, label="negative", steps=32)
    ids = encode_pairs(shipped_tokenizer(), [(text, "")], 64)[0]
    space, mask = shipped_tokenizer().token_to_id("▁"), shipped_tokenizer().token_to_id("<mask>")
    blank = [i if i in (0, 2, space) else mask for i in ids]
    with torch.no_grad():
        there, here = log_odds(tiny.network(torch.tensor([ids, blank])).logits["sentiment"], "sentiment")[:, 0].tolist()
    assert sum(word.weight for word in found.words) == pytest.approx(there - here, abs=1e-3)
    assert found.gap == pytest.approx(0, abs=1e-3)


def test_weights_equal_those_of_captum(tiny):
    """Compared with captum's integrated gradients on the same network, baseline and points."""
    ids = encode_pairs(shipped_tokenizer(), [(TEXTS[0][0], "")], 64)[0]
    places = list(range(1, len(ids) - 1))
    weights, _ = integrated_gradients(tiny, ids, places, "sentiment", 0, 16)
    network = tiny.network
    with torch.no_grad():
        there = network.words(torch.tensor([ids]))
        here = there.clone()
        here[0, places] = network.words(torch.tensor(shipped_tokenizer().token_to_id("<mask>")))

    def judged(vectors: torch.Tensor) -> torch.Tensor:
        return log_odds(network.read(vectors, torch.ones(vectors.shape[:2], dtype=torch.bool)).logits["sentiment"], "sentiment")

    theirs = IntegratedGradients(judged).attribute(there, here, target=0, n_steps=16, method="gausslegendre")
    assert weights == pytest.approx(theirs.sum(-1)[0, places].tolist(), abs=1e-4)


def test_pieces_of_a_word_are_joined_and_chinese_pieces_stay():
    text = "AT&T's 3.5%，苹果公司"
    ends = (0, 2, 4, 6), (7, 10, 11, 12, 14, 16)
    pieces = [TokenPiece(1, *place) for part in ends for place in pairwise(part)]
    words = [(text[start:end], weight) for start, end, weight in join_words(text, pieces, [1.0] * 8)]
    assert words == [("AT&T's", 3.0), ("3.5", 1.0), ("%", 1.0), ("，", 1.0), ("苹果", 1.0), ("公司", 1.0)]


def test_offsets_refer_to_the_article_when_the_company_is_mentioned_late(tiny):
    text = "Markets were calm. " * 40 + "Tallis Bank collapsed."
    found = explain(tiny, "", text, "en", "Tallis Bank")
    assert found.text == text
    assert all(text[word.start : word.end] == word.text for word in found.words)
    assert "Tallis" in {word.text for word in found.words}


def test_unknown_heads_and_labels_and_empty_texts_are_errors(tiny):
    with pytest.raises(ModelError, match="no head 'risks'"):
        explain(tiny, "Acme fell", "", "en", head="risks")
    with pytest.raises(ModelError, match="'bad' is not a class of sentiment"):
        explain(tiny, "Acme fell", "", "en", label="bad")
    with pytest.raises(ModelError, match="nothing to explain"):
        explain(tiny, "  ", "", "en")


def test_deleting_words_leaves_the_rest():
    text = "Acme fell 3%"
    assert without_words(text, [Word(5, 9, "fell", 1.0), Word(0, 4, "Acme", 2.0)]) == "  3%"


def test_deleting_words_by_weight_changes_more_than_at_random():
    """With the shipped model and built-in sentences, deletion by weight reduces the probability twice as fast as at random."""
    classifier = load_classifier()
    assert isinstance(classifier, TransformerClassifier)
    seeds = fill_templates(read_templates(), 1, random.Random(7))
    rng = random.Random(1)
    chosen = [seed for language in ("en", "zh") for seed in rng.sample([each for each in seeds if each.language == language], 6)]
    for result in measure_deletion(classifier, chosen, random.Random(3)):
        assert result.n == 6
        assert result.by_weight > 2 * result.random_order, result
        assert result.better_share > 0.5, result


@pytest.mark.parametrize(("text", "word"), [("Brenholm Steel files for bankruptcy", "bankruptcy"), ("远舟控股公司债券构成违约", "违约")])
def test_the_command_prints_the_words(capsys, text, word):
    assert main(["explain", "--json", "--class", "negative", text]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["class"] == "negative"
    assert set(printed["words"][0]) == {"start", "end", "text", "weight"}
    assert max(printed["words"], key=lambda each: each["weight"])["text"] == word
    assert main(["explain", "--class", "negative", text]) == 0
    shown = capsys.readouterr().out
    assert f"[++{word}]" in shown
