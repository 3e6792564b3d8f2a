"""The same job without Tocsin: transformers' pipeline with our weights, and a plain consumer around it.

`python -m bench.transformers_baseline BROKER TOPIC STORE` reads a topic from its beginning until it is stopped: kafka-python, the
pipeline, and one INSERT per row into the table `naive`. It commits automatically every few seconds, which is the client's default:
an article may be lost or stored twice when the process dies.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from models.heads import SENTIMENTS
from models.inference.encoding import PAD_ID
from models.inference.network import Network, to_bert
from models.inference.transformer import TransformerClassifier
from models.registry.manifest import shipped

MAX_RECORDS = 512


def make_pipeline(classifier: TransformerClassifier, network: Network) -> Any:
    """A transformers pipeline that classifies sentiment in fp32, in batches of 64 texts on a GPU and 32 on a CPU.

    Args:
        classifier: supplies the tokenizer and the length at which texts are truncated.
        network: the classifier's network in fp32.
    """
    from transformers import BertConfig, BertModel, BertPreTrainedModel, PreTrainedTokenizerFast, TextClassificationPipeline
    from transformers.modeling_outputs import SequenceClassifierOutput
    from transformers.utils import logging

    logging.set_verbosity(logging.CRITICAL)  # else it lists every class that this model is not

    class MeanPooled(BertPreTrainedModel):  # type: ignore[misc]
        """BertModel, mean pooling, one linear layer."""

        def __init__(self, config: BertConfig) -> None:
            super().__init__(config)
            self.bert = BertModel(config, add_pooling_layer=False)
            self.classifier = nn.Linear(config.hidden_size, config.num_labels)
            self.post_init()

        def forward(self, input_ids: Tensor, attention_mask: Tensor, **_unused: Any) -> SequenceClassifierOutput:
            hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
            return SequenceClassifierOutput(logits=self.classifier((hidden * weight).sum(1) / weight.sum(1)))

    shape = network.shape
    config = BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.ffn,
        max_position_embeddings=shape.positions,
        layer_norm_eps=shape.eps,
        type_vocab_size=1,
        pad_token_id=PAD_ID,
        num_labels=len(SENTIMENTS),
        id2label=dict(enumerate(SENTIMENTS)),
        label2id={name: i for i, name in enumerate(SENTIMENTS)},
    )
    model = MeanPooled(config).eval()
    head = network.head("sentiment")
    state = {f"bert.{name}": value for name, value in to_bert(network.state_dict(), shape.layers).items()}
    model.load_state_dict(state | {"classifier.weight": head.weight.detach(), "classifier.bias": head.bias.detach()}, strict=True)
    special = {"pad_token": "<pad>", "model_input_names": ["input_ids", "attention_mask"]}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=classifier.tokenizer, **special)
    return TextClassificationPipeline(
        model=model,
        tokenizer=tokenizer,
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        batch_size=64 if torch.cuda.is_available() else 32,
        truncation=True,
        max_length=classifier.max_tokens,
    )


def open_baseline(store: str, table: str) -> tuple[Any, Any]:
    """(the pipeline with the shipped weights, a clickhouse-driver client), after creating `table` in the store."""
    from clickhouse_driver import Client

    exact = TransformerClassifier.load(shipped(), dtype=torch.float32)
    address = urlsplit(store)
    client = Client(address.hostname or "", port=address.port or 9000, user=address.username or "default", database=address.path.strip("/"))
    columns = "id String, title String, label String, score Float32"
    client.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) ENGINE = MergeTree ORDER BY id")
    return make_pipeline(exact, exact.network), client


def main(broker: str, topic: str, store: str) -> None:
    """Consume until SIGTERM."""
    from kafka import KafkaConsumer

    pipeline, client = open_baseline(store, "naive")
    consumer = KafkaConsumer(topic, bootstrap_servers=broker, group_id="naive", auto_offset_reset="earliest")
    print("ready", flush=True)
    while True:
        polled = consumer.poll(timeout_ms=500, max_records=MAX_RECORDS)
        articles = [json.loads(message.value) for messages in polled.values() for message in messages]
        for article, label in zip(articles, pipeline([article["title"] for article in articles]) if articles else [], strict=True):
            client.execute(
                "INSERT INTO naive (id, title, label, score) VALUES", [(article["id"], article["title"], label["label"], label["score"])]
            )


if __name__ == "__main__":
    main(*sys.argv[1:4])
