"""Own topics: trained on eight texts or a description, stored, predicted, and trained again for another model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import ModelError
from core.series import series_name, topic_series
from core.taxonomy import TOPIC_KEYS, register_topic_names
from models.inference.classifier import Document
from models.inference.own_topics import LearnedTopic, add, background, few_shot, load_topics, pack, unpack, zero_shot
from models.inference.topic_files import OwnTopic, check_key, read_topics, remove_topic
from models.inference.transformer import TransformerClassifier
from tests.helpers.tiny_model import tiny_classifier, tiny_network
from tocsin.cli import main

SPORTS = (
    "The home side won the cup final on penalties",
    "Their striker scored twice in the league match",
    "The champion lost her tennis match in straight sets",
    "A marathon runner broke the national record",
    "主队在决赛点球大战中夺冠",
    "前锋在联赛中梅开二度",
    "网球名将直落两盘出局",
    "马拉松选手打破全国纪录",
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def tiny() -> TransformerClassifier:
    return tiny_classifier(tiny_network(seed=1))


def _topic(key: str = "sports", examples: tuple[str, ...] = SPORTS, description: str = "") -> OwnTopic:
    return OwnTopic(key, "Sports", "体育", NOW, description, examples)


def test_a_few_shot_topic_separates_its_examples_from_other_vectors():
    """Eight vectors around one direction among 300 others: unseen vectors are separated, better than zero-shot."""
    rng = torch.Generator().manual_seed(4)
    direction = torch.randn(24, generator=rng)
    others, unseen = torch.randn(300, 24, generator=rng), torch.randn(200, 24, generator=rng)
    mine = torch.randn(40, 24, generator=rng) + 1.2 * direction
    few = few_shot("x", mine[:8], others)
    right = float((few.probabilities(mine[8:]) >= 0.5).float().mean() + (few.probabilities(unseen) < 0.5).float().mean()) / 2
    assert right > 0.85
    vague = direction + torch.randn(2, 24, generator=rng)
    zero = zero_shot("x", vague, others)
    assert float((zero.probabilities(mine) >= 0.5).float().mean()) > float((zero.probabilities(unseen) >= 0.5).float().mean()) + 0.3


def test_a_zero_shot_topic_excludes_most_of_the_background():
    rng = torch.Generator().manual_seed(5)
    others = torch.randn(400, 16, generator=rng)
    zero = zero_shot("x", torch.randn(2, 16, generator=rng), others)
    assert 0.03 < float((zero.probabilities(others) >= 0.5).float().mean()) < 0.07


def test_training_a_topic_is_deterministic(tiny):
    one, two = (few_shot("x", torch.from_numpy(tiny.vectors(SPORTS)), torch.from_numpy(tiny.vectors(background()))) for _ in range(2))
    assert all(torch.equal(getattr(one, name), getattr(two, name)) for name in ("projection", "weight", "bias"))


def test_a_topic_is_stored_and_loaded(tiny, tmp_path):
    learned = add(tiny, tmp_path, _topic(), background())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sports.json", "sports.safetensors"]
    (read,) = load_topics(tiny, tmp_path)
    vector = tiny.vectors(["The home side won"])[0]
    assert read.probability(vector) == learned.probability(vector)
    assert remove_topic(tmp_path, "sports")
    assert load_topics(tiny, tmp_path) == ()
    assert not remove_topic(tmp_path, "sports")


def test_a_topic_of_another_model_is_trained_again_in_memory(tiny, tmp_path):
    add(tiny, tmp_path, _topic(), background())
    before = (tmp_path / "sports.json").read_bytes()

    other = tiny_classifier(tiny_network(seed=9, hidden=16), version="other")
    (learned,) = load_topics(other, tmp_path)
    assert learned.centre.shape == (16,)
    assert (tmp_path / "sports.json").read_bytes() == before


@pytest.mark.parametrize("spoil", ["weights", "json"])
def test_a_changed_file_is_refused(tiny, tmp_path, spoil):
    add(tiny, tmp_path, _topic(), background())
    path = tmp_path / ("sports.safetensors" if spoil == "weights" else "sports.json")
    path.write_bytes(path.read_bytes()[:-9] + b"xxxxxxxxx")
    with pytest.raises(ModelError, match="sports"):
        load_topics(tiny, tmp_path)


def test_weights_of_another_size_are_refused(tiny):
    learned = few_shot("x", torch.randn(8, 16), torch.randn(50, 16), steps=1)
    with pytest.raises(ModelError, match="do not fit this model"):
        unpack("x", pack(learned), 32)


def test_too_few_examples_and_bad_keys_are_refused(tiny, tmp_path):
    with pytest.raises(ModelError, match="3 examples; at least 4 are required"):
        add(tiny, tmp_path, _topic(examples=SPORTS[:3]), background())
    for key in ("earnings", "../x", "X", "a"):
        with pytest.raises(ModelError, match="choose another"):
            check_key(key)
    assert read_topics(tmp_path / "nowhere") == []


@dataclass(frozen=True)
class Always:
    """A topic with a fixed probability."""

    key: str
    sure: float

    def probability(self, pooled: np.ndarray) -> float:
        """The fixed probability."""
        assert pooled.shape == (32,)
        return self.sure


def test_own_topics_are_added_to_the_predicted_ones():
    classifier = tiny_classifier(tiny_network(seed=1))
    plain = classifier.classify([Document("The home side won", "")])[0].topics
    classifier.extra_topics = (Always("sports", 0.9), Always("chess", 0.4))
    now = classifier.classify([Document("The home side won", "")])[0].topics
    assert now == {**plain, "sports": 0.9}


def test_own_topics_do_not_depend_on_the_batch(tiny, tmp_path):
    add(tiny, tmp_path, _topic(), background())
    classifier = tiny_classifier(tiny_network(seed=1))
    (learned,) = load_topics(classifier, tmp_path)
    documents = [Document(text, "") for text in (*SPORTS, *background()[:20])]
    classifier.extra_topics = (LearnedTopic("sports", learned.centre, learned.projection, learned.weight, torch.tensor(9.0)),)  # all apply
    together = [prediction.topics["sports"] for prediction in classifier.classify(documents)]
    alone = [classifier.classify([document])[0].topics["sports"] for document in documents]
    assert together == pytest.approx(alone, abs=1e-4)


def test_names_of_topics_are_read_and_invalid_files_skipped():
    from core.taxonomy import Topic

    register_topic_names([Topic("sports", "Sports", "体育")])
    try:
        assert series_name(topic_series("sports"), "zh") == "体育"
        assert series_name(topic_series("sports")) == "Sports"
    finally:
        register_topic_names([])
    assert series_name(topic_series("sports")) == "sports"


def test_the_commands_add_list_test_and_remove_a_topic(tmp_path, monkeypatch, capsys):
    """End to end with the shipped model: eight texts, then unseen texts of the same and of other kinds."""
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    examples = tmp_path / "eight.txt"
    examples.write_text("\n".join(SPORTS), encoding="utf-8")
    assert main(["topics", "add", "sports", "--name-en", "Sports", "--name-zh", "体育", "--examples", str(examples)]) == 0
    assert main(["topics", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (listed["key"], listed["examples"]) == ("sports", 8)
    unseen = tmp_path / "unseen.jsonl"
    rows = ["The goalkeeper saved the match in extra time", "球队在客场击败对手", "Acme misses bond payment", "央行下调利率"]
    unseen.write_text("\n".join(json.dumps({"text": row}) for row in rows), encoding="utf-8")
    assert main(["topics", "test", "sports", str(unseen), "--json"]) == 0
    assert [json.loads(line)["applies"] for line in capsys.readouterr().out.splitlines()] == [True, True, False, False]
    assert main(["classify", "--json", rows[0]]) == 0
    topics = json.loads(capsys.readouterr().out)["topics"]
    assert topics["sports"] > 0.5
    assert set(topics) - {"sports"} <= set(TOPIC_KEYS)
    assert main(["topics", "remove", "sports"]) == 0
    assert main(["topics", "remove", "sports"]) == 2
    assert not list(Path(tmp_path / "data" / "models" / "topics").iterdir())


def test_a_topic_needs_a_description_or_examples(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    assert main(["topics", "add", "sports", "--name-en", "Sports", "--name-zh", "体育"]) == 2
    assert "--description" in capsys.readouterr().err
