"""The encoder equals transformers' BertModel, and Hugging Face directories can be used as classifiers."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from core.errors import ModelError
from models.heads import Shape
from models.inference.classifier import Document
from models.inference.encoding import PAD_ID
from models.inference.huggingface import columns
from models.inference.loader import load_classifier
from models.inference.network import Network, from_bert, pack_weights, unpack_weights
from models.training.backbone import make_tokenizer

SHAPE = Shape(
    vocabulary=60, hidden=32, layers=2, heads=4, ffn=64, positions=40, eps=1e-12, outputs={"sentiment": 3, "topics": 21, "tags": 7}
)


@pytest.fixture(scope="module")
def transformers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns of other libraries' deprecations
        import transformers

        return transformers


def _config(transformers: Any, **more: Any) -> Any:
    return transformers.BertConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=40, pad_token_id=PAD_ID, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **more,
    )  # fmt: skip


def test_the_encoder_equals_a_bert_model(transformers):
    torch.manual_seed(3)
    bert = transformers.BertModel(_config(transformers), add_pooling_layer=False).eval()
    network = Network(SHAPE)
    missing = network.load_state_dict(from_bert(bert.state_dict(), 2), strict=False)
    assert all(name.startswith(("sentiment", "topics", "tags")) for name in missing.missing_keys)
    assert not missing.unexpected_keys
    ids = torch.tensor([[0, 9, 8, 7, 2], [0, 5, 2, PAD_ID, PAD_ID]])
    present = (ids != PAD_ID).long()
    with torch.inference_mode():
        states = bert(input_ids=ids, attention_mask=present).last_hidden_state
        wanted = (states * present[..., None]).sum(1) / present.sum(1, keepdim=True)
        assert torch.allclose(network(ids).pooled, wanted, atol=1e-5)


def test_packed_weights_differ_by_at_most_half_a_step():
    network = Network(SHAPE)
    back = unpack_weights(pack_weights(network.state_dict()))
    for name, value in network.state_dict().items():
        step = value.abs().amax() / 127
        assert (value - back[name]).abs().max() <= step / 2 + 1e-6
    assert torch.equal(back["sentiment.weight"], network.head("sentiment").weight)


def test_what_is_not_safetensors_is_refused():
    with pytest.raises(ModelError, match="safetensors"):
        unpack_weights(b"\x80\x04nonsense")


def test_a_hugging_face_directory_can_be_configured(transformers, tmp_path):
    torch.manual_seed(3)
    labels = {0: "Bearish", 1: "Neutral", 2: "Bullish"}
    config = _config(transformers, id2label=labels, label2id={name: i for i, name in labels.items()})
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path)
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = make_tokenizer([(piece, -float(i)) for i, piece in enumerate(pieces)])
    tokenizer.add_special_tokens(pieces[:4])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=40
    ).save_pretrained(tmp_path)
    classifier = load_classifier(tmp_path, max_tokens=40)
    empty, found = classifier.classify([Document("", ""), Document("shares fall", "", "en", ("shares",))])
    assert empty.sentiment.neutral == 1.0
    assert sum(found.sentiment) == pytest.approx(1.0)
    assert found.companies == (found.sentiment,)
    assert classifier.version.startswith("hf-")


def test_the_error_for_unknown_labels_names_them():
    assert columns({0: "positive", 1: "negative", 2: "neutral"}) == [2, 0, 1]
    with pytest.raises(ModelError, match="LABEL_0"):
        columns({0: "LABEL_0"})
