"""Explanations: every word of the text has its place and weight, the weights are the judgement, and the heavy words are what counts."""

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
from tests.tiny import shipped_tokenizer, tiny_classifier, tiny_network
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
def test_words_hold_every_character_but_space(tiny, text, language):
    found = explain(tiny, text, "", language)
    assert found.text == text
    at = 0
    for word in found.words:
        assert word.start >= at
        assert not text[at : word.start].strip()
        assert word.text == text[word.start : word.end] != ""
        at = word.end
    assert not text[at:].strip()


@pytest.mark.parametrize(("text", "language"), TEXTS)
def test_weights_add_up_to_the_judgement(tiny, text, language):
    """Completeness: the log odds of the text, less those of the same text with all words blank, are shared out among the words."""
    found = explain(tiny, text, "", language, label="negative", steps=32)
    ids = encode_pairs(shipped_tokenizer(), [(text, "")], 64)[0]
    space, mask = shipped_tokenizer().token_to_id("▁"), shipped_tokenizer().token_to_id("<mask>")
    blank = [i if i in (0, 2, space) else mask for i in ids]
    with torch.no_grad():
        there, here = log_odds(tiny.network(torch.tensor([ids, blank])).logits["sentiment"], "sentiment")[:, 0].tolist()
    assert sum(word.weight for word in found.words) == pytest.approx(there - here, abs=1e-3)
    assert found.gap == pytest.approx(0, abs=1e-3)


def test_the_integral_is_captums(tiny):
    """An independent judge: captum's integrated gradients on the same network, from the same blanks, with the same points."""
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


def test_pieces_of_a_word_are_one_and_chinese_pieces_stay():
    text = "AT&T's 3.5%，苹果公司"
    ends = (0, 2, 4, 6), (7, 10, 11, 12, 14, 16)
    pieces = [TokenPiece(1, *place) for part in ends for place in pairwise(part)]
    words = [(text[start:end], weight) for start, end, weight in join_words(text, pieces, [1.0] * 8)]
    assert words == [("AT&T's", 3.0), ("3.5", 1.0), ("%", 1.0), ("，", 1.0), ("苹果", 1.0), ("公司", 1.0)]


def test_places_are_the_articles_own_when_its_company_comes_late(tiny):
    text = "Markets were calm. " * 40 + "Tallis Bank collapsed."
    found = explain(tiny, "", text, "en", "Tallis Bank")
    assert found.text == text
    assert all(text[word.start : word.end] == word.text for word in found.words)
    assert "Tallis" in {word.text for word in found.words}


def test_what_is_not_there_is_said(tiny):
    with pytest.raises(ModelError, match="no head 'risks'"):
        explain(tiny, "Acme fell", "", "en", head="risks")
    with pytest.raises(ModelError, match="'bad' is no class of sentiment"):
        explain(tiny, "Acme fell", "", "en", label="bad")
    with pytest.raises(ModelError, match="nothing to explain"):
        explain(tiny, "  ", "", "en")


def test_deleting_words_leaves_the_rest():
    text = "Acme fell 3%"
    assert without_words(text, [Word(5, 9, "fell", 1.0), Word(0, 4, "Acme", 2.0)]) == "  3%"


def test_heavy_words_count_more_than_any_words():
    """Deletion curves of the shipped model on our own sentences: the heaviest words first takes the class away twice as fast."""
    classifier = load_classifier()
    assert isinstance(classifier, TransformerClassifier)
    seeds = fill_templates(read_templates(), 1, random.Random(7))
    rng = random.Random(1)
    chosen = [seed for language in ("en", "zh") for seed in rng.sample([each for each in seeds if each.language == language], 6)]
    for said in measure_deletion(classifier, chosen, random.Random(3)):
        assert said.n == 6
        assert said.by_weight > 2 * said.random_order, said
        assert said.better_share > 0.5, said


@pytest.mark.parametrize(("text", "word"), [("Brenholm Steel files for bankruptcy", "bankruptcy"), ("远舟控股公司债券构成违约", "违约")])
def test_the_command_tells_the_words(capsys, text, word):
    assert main(["explain", "--json", "--class", "negative", text]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["class"] == "negative"
    assert set(told["words"][0]) == {"start", "end", "text", "weight"}
    assert max(told["words"], key=lambda each: each["weight"])["text"] == word
    assert main(["explain", "--class", "negative", text]) == 0
    shown = capsys.readouterr().out
    assert f"[++{word}]" in shown
