"""The same weights as a user of transformers would run them: a BERT model with mean pooling in `pipeline("text-classification")`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.inference.encoding import PAD_ID
from models.inference.heads import SENTIMENTS
from models.inference.network import Network, to_bert
from models.inference.transformer import TransformerClassifier


def make_pipeline(classifier: TransformerClassifier, network: Network) -> Any:
    """A fp32 pipeline that says the sentiment of a text, truncated as ours is: on the GPU, 64 texts at a time, or the CPU, 32.

    network: the classifier's, in fp32
    """
    from transformers import BertConfig, BertModel, BertPreTrainedModel, PreTrainedTokenizerFast, TextClassificationPipeline
    from transformers.modeling_outputs import SequenceClassifierOutput
    from transformers.utils import logging

    logging.set_verbosity(logging.CRITICAL)  # it lists all the classes that ours is not

    class MeanPooled(BertPreTrainedModel):  # type: ignore[misc]
        """BertModel, the mean over its tokens, one linear layer."""

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
