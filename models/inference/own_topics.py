"""Own topics: topics defined by analysts, trained in seconds from a few texts, or from a name and a description.

    few-shot    8 texts ───┬─▶ pooled vectors ─▶ projection, trained on contrastive pairs ─▶ logistic regression
                background ┘
    zero-shot   name and description in both languages ─▶ mean direction ─▶ threshold at a high quantile of the background

After SetFit (Tunstall et al. 2022, Efficient few-shot learning without prompts), but without fine-tuning the encoder: one forward pass
serves all topics, and each topic adds one small product. docs/decisions.md has the loss of quality.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional

from core.errors import ModelError
from models.inference.classifier import Classifier
from models.inference.engine import Floats
from models.inference.topic_files import OwnTopic, check_key, read_topics, read_weights, write_topic
from models.inference.transformer import TransformerClassifier
from models.templates import fill_templates, read_templates

MIN_EXAMPLES = 4
STEPS = 40
LEARNING_RATE = 1e-3
INVERSE_REGULARIZATION = 10.0
"""C of the logistic regression."""
BACKGROUND_QUANTILE = 0.95
"""A zero-shot topic excludes this share of the background texts."""
SLOPE = 8.0
"""Factor from (cosine - threshold) to log odds. It affects the probabilities but not which texts have the topic."""


@dataclass(frozen=True, slots=True)
class LearnedTopic:
    """A trained topic. For a pooled vector v (H,) its probability is sigmoid(weight . unit(projection (v - centre)) + bias).

    centre, weight: (H,); projection: (H, H); bias: ()
    """

    key: str
    centre: Tensor
    projection: Tensor
    weight: Tensor
    bias: Tensor

    def probabilities(self, vectors: Tensor) -> Tensor:
        """Probabilities (N,) of the topic for pooled vectors (N, H)."""
        return (functional.normalize((vectors - self.centre) @ self.projection.T, dim=-1) @ self.weight + self.bias).sigmoid()

    def probability(self, pooled: Floats) -> float:
        """Probability of the topic for one pooled vector (H,)."""
        with torch.inference_mode():
            return float(self.probabilities(torch.from_numpy(pooled)[None])[0])


def background(extra: Sequence[str] = ()) -> list[str]:
    """Background texts that represent other news: one per built-in template, and `extra` ones, such as stored articles."""
    return [*(each.text for each in fill_templates(read_templates(), 1, random.Random(0))), *extra]  # noqa: S311 - the same texts each time


def learn(classifier: TransformerClassifier, topic: OwnTopic, others: Sequence[str]) -> LearnedTopic:
    """Train a topic: few-shot on its examples, or zero-shot on its names and description if it has none.

    Args:
        classifier: supplies the pooled vectors.
        topic: the topic.
        others: background texts, most of which are not about the topic.

    Raises:
        ModelError: it has fewer than MIN_EXAMPLES examples, but not none.
    """
    negatives = torch.from_numpy(classifier.vectors(list(others)))
    if topic.examples:
        if len(topic.examples) < MIN_EXAMPLES:
            message = f"topic {topic.key!r}: {len(topic.examples)} examples; at least {MIN_EXAMPLES} are required, 8 are better"
            raise ModelError(message)
        return few_shot(topic.key, torch.from_numpy(classifier.vectors(list(topic.examples))), negatives)
    descriptions = [f"{name}: {topic.description}" if topic.description else name for name in (topic.name_en, topic.name_zh)]
    return zero_shot(topic.key, torch.from_numpy(classifier.vectors(descriptions)), negatives)


def few_shot(key: str, examples: Tensor, others: Tensor, *, steps: int = STEPS, seed: int = 0) -> LearnedTopic:
    """Train a topic on pooled vectors (n, H) of its examples and (m, H) of other texts.

    Args:
        key: key of the topic.
        examples: (n, H).
        others: (m, H).
        steps: steps of contrastive training; 0 for none.
        seed: random seed.
    """
    centre = others.mean(0)
    positives, negatives = examples - centre, others - centre
    projection = contrast(positives, negatives, steps, torch.Generator().manual_seed(seed))
    weight, bias = logistic(functional.normalize(positives @ projection.T, dim=-1), functional.normalize(negatives @ projection.T, dim=-1))
    return LearnedTopic(key, centre, projection, weight, bias)


def contrast(positives: Tensor, negatives: Tensor, steps: int, rng: torch.Generator) -> Tensor:
    """Train a projection (H, H), from the identity, by Adam.

    The loss is the mean of (1 - cos)^2 over pairs of examples (n, H), plus the mean of max(cos, 0)^2 over pairs of an example and one of
    the others (m, H).
    """
    projection = torch.eye(positives.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([projection], lr=LEARNING_RATE)
    pairs = torch.triu_indices(len(positives), len(positives), 1)
    for _ in range(steps):
        some = negatives[torch.randint(len(negatives), (2 * len(positives),), generator=rng)]
        near, far = (functional.normalize(part @ projection.T, dim=-1) for part in (positives, some))
        alike = (near @ near.T)[pairs[0], pairs[1]]
        loss = (1 - alike).square().mean() + (near @ far.T).clamp(min=0).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return projection.detach()


def logistic(positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (H,) and bias () of a logistic regression with balanced class weights, by L-BFGS."""
    points = torch.cat([positives, negatives])
    truth = torch.cat([torch.ones(len(positives)), torch.zeros(len(negatives))])
    share = (
        torch.cat([torch.full((len(positives),), 0.5 / len(positives)), torch.full((len(negatives),), 0.5 / len(negatives))])
        * 2
        * len(positives)
    )
    weight, bias = torch.zeros(points.shape[1], requires_grad=True), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        wrong = functional.binary_cross_entropy_with_logits(points @ weight + bias, truth, share, reduction="sum")
        total = INVERSE_REGULARIZATION * wrong + 0.5 * weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def zero_shot(key: str, descriptions: Tensor, others: Tensor) -> LearnedTopic:
    """A topic from pooled vectors of its names and description.

    Args:
        key: key of the topic.
        descriptions: (k, H); their mean direction is the topic's.
        others: (m, H), background; the threshold is their BACKGROUND_QUANTILE quantile of the cosine.
    """
    centre = others.mean(0)
    direction = functional.normalize(functional.normalize(descriptions - centre, dim=-1).mean(0), dim=-1)
    cut = (functional.normalize(others - centre, dim=-1) @ direction).quantile(BACKGROUND_QUANTILE)
    return LearnedTopic(key, centre, torch.eye(len(centre)), SLOPE * direction, -SLOPE * cut)


def pack(learned: LearnedTopic) -> bytes:
    """Serialise a trained topic to safetensors."""
    tensors = {name: getattr(learned, name).contiguous() for name in ("centre", "projection", "weight", "bias")}
    return bytes(save(tensors))


def unpack(key: str, content: bytes, hidden: int) -> LearnedTopic:
    """Read a trained topic for an encoder with vectors of size `hidden`. Raises ModelError when the content does not fit."""
    try:
        tensors = load(content)
        learned = LearnedTopic(key, *(tensors[name] for name in ("centre", "projection", "weight", "bias")))
        learned.probabilities(torch.zeros(1, hidden))
    except (SafetensorError, KeyError, RuntimeError) as error:
        message = f"topic {key!r}: its trained weights do not fit this model ({error}); add the topic again"
        raise ModelError(message) from error
    return learned


def add(classifier: TransformerClassifier, folder: Path, topic: OwnTopic, others: Sequence[str]) -> LearnedTopic:
    """Train a topic on this model and store it in `folder`. Raises ModelError."""
    check_key(topic.key)
    learned = learn(classifier, topic, others)
    write_topic(folder, msgspec.structs.replace(topic, model=classifier.version), pack(learned))
    return learned


def load_topics(classifier: TransformerClassifier, folder: Path) -> tuple[LearnedTopic, ...]:
    """Load the topics of a folder; a topic trained on another model is trained again in memory. Raises ModelError."""
    found = []
    for topic in read_topics(folder):
        if topic.model == classifier.version:
            found.append(unpack(topic.key, read_weights(folder, topic), classifier.network.shape.hidden))
        else:
            found.append(learn(classifier, topic, background()))
    return tuple(found)


def with_own_topics(classifier: Classifier, folder: Path) -> Classifier:
    """Add the own topics of `folder` to the classifier, if it is a TransformerClassifier, and return it. Raises ModelError."""
    if isinstance(classifier, TransformerClassifier):
        classifier.extra_topics = load_topics(classifier, folder)
    return classifier
