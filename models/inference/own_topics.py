"""Topics of the analysts' own, learned in seconds from a few texts, or from a name and a description alone.

    few-shot    8 texts ─┬─▶ pooled vectors ─▶ contrastive pairs turn a projection, first the identity ─▶ logistic regression
                background┘
    zero-shot   name and description in both languages ─▶ one direction ─▶ a cut that hardly any background text reaches

After SetFit (Tunstall et al. 2022, Efficient few-shot learning without prompts), but the encoder itself is not moved: one forward
pass serves every topic, and what a topic costs is one small product. docs/decisions.md has what that costs in quality.
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
from models.templates import grow, read_templates

FEWEST_EXAMPLES = 4
STEPS = 40
RATE = 1e-3
STRENGTH = 10.0
"""C of the logistic regression: how much the examples count against small weights."""
RARE = 0.95
"""Share of the background that a topic known by its description alone leaves out."""
SLOPE = 8.0
"""From a cosine's distance to the cut to log odds; it only orders probabilities, the cut decides."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A topic as it is read from a pooled vector v (H,): sigmoid(weight . unit(projection (v - centre)) + bias).

    centre, weight: (H,); projection: (H, H); bias: ()
    """

    key: str
    centre: Tensor
    projection: Tensor
    weight: Tensor
    bias: Tensor

    def chances(self, vectors: Tensor) -> Tensor:
        """Probabilities (N,) of the topic for vectors (N, H)."""
        return (functional.normalize((vectors - self.centre) @ self.projection.T, dim=-1) @ self.weight + self.bias).sigmoid()

    def chance(self, pooled: Floats) -> float:
        """The probability of the topic for one pooled vector (H,)."""
        with torch.inference_mode():
            return float(self.chances(torch.from_numpy(pooled)[None])[0])


def background(extra: Sequence[str] = ()) -> list[str]:
    """Texts that stand for all other news: one of each built-in template of both languages, and `extra`, such as stored articles."""
    return [*(seed.text for seed in grow(read_templates(), 1, random.Random(0))), *extra]  # noqa: S311 - the same texts each time


def learn(classifier: TransformerClassifier, topic: OwnTopic, others: Sequence[str]) -> Learned:
    """A topic from its examples, or without any from its names and description; `others` are texts mostly not of it.

    Raises ModelError for fewer than FEWEST_EXAMPLES examples.
    """
    rest = torch.from_numpy(classifier.vectors(list(others)))
    if topic.examples:
        if len(topic.examples) < FEWEST_EXAMPLES:
            message = f"topic {topic.key!r}: {len(topic.examples)} examples; {FEWEST_EXAMPLES} are wanted at least, 8 are better"
            raise ModelError(message)
        return few_shot(topic.key, torch.from_numpy(classifier.vectors(list(topic.examples))), rest)
    said = [f"{name}: {topic.description}" if topic.description else name for name in (topic.name_en, topic.name_zh)]
    return zero_shot(topic.key, torch.from_numpy(classifier.vectors(said)), rest)


def few_shot(key: str, examples: Tensor, others: Tensor, *, steps: int = STEPS, seed: int = 0) -> Learned:
    """A topic from vectors (n, H) of its examples and (m, H) of other texts. steps: of the contrastive part; 0 leaves it out."""
    centre = others.mean(0)
    mine, rest = examples - centre, others - centre
    projection = contrast(mine, rest, steps, torch.Generator().manual_seed(seed))
    weight, bias = logistic(functional.normalize(mine @ projection.T, dim=-1), functional.normalize(rest @ projection.T, dim=-1))
    return Learned(key, centre, projection, weight, bias)


def contrast(mine: Tensor, rest: Tensor, steps: int, dice: torch.Generator) -> Tensor:
    """A projection (H, H) under which examples (n, H) are alike and others (m, H) are not like them, by Adam from the identity."""
    projection = torch.eye(mine.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([projection], lr=RATE)
    pairs = torch.triu_indices(len(mine), len(mine), 1)
    for _ in range(steps):
        some = rest[torch.randint(len(rest), (2 * len(mine),), generator=dice)]
        near, far = (functional.normalize(part @ projection.T, dim=-1) for part in (mine, some))
        alike = (near @ near.T)[pairs[0], pairs[1]]
        loss = (1 - alike).square().mean() + (near @ far.T).clamp(min=0).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return projection.detach()


def logistic(mine: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    """(weight (H,), bias ()) of a logistic regression with both sides counting the same, by L-BFGS."""
    points = torch.cat([mine, rest])
    truth = torch.cat([torch.ones(len(mine)), torch.zeros(len(rest))])
    share = torch.cat([torch.full((len(mine),), 0.5 / len(mine)), torch.full((len(rest),), 0.5 / len(rest))]) * 2 * len(mine)
    weight, bias = torch.zeros(points.shape[1], requires_grad=True), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        wrong = functional.binary_cross_entropy_with_logits(points @ weight + bias, truth, share, reduction="sum")
        total = STRENGTH * wrong + 0.5 * weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def zero_shot(key: str, said: Tensor, others: Tensor) -> Learned:
    """A topic from vectors (k, H) of its names and description: the direction they share, cut where all but 1 - RARE of others end."""
    centre = others.mean(0)
    direction = functional.normalize(functional.normalize(said - centre, dim=-1).mean(0), dim=-1)
    cut = (functional.normalize(others - centre, dim=-1) @ direction).quantile(RARE)
    return Learned(key, centre, torch.eye(len(centre)), SLOPE * direction, -SLOPE * cut)


def pack(learned: Learned) -> bytes:
    """A safetensors file of what was learned."""
    tensors = {name: getattr(learned, name).contiguous() for name in ("centre", "projection", "weight", "bias")}
    return bytes(save(tensors))


def unpack(key: str, content: bytes, hidden: int) -> Learned:
    """What was learned, for an encoder with vectors of `hidden`. Raises ModelError when the content is something else."""
    try:
        tensors = load(content)
        learned = Learned(key, *(tensors[name] for name in ("centre", "projection", "weight", "bias")))
        learned.chances(torch.zeros(1, hidden))
    except (SafetensorError, KeyError, RuntimeError) as error:
        message = f"topic {key!r}: what was learned for it does not fit this model ({error}); add it again"
        raise ModelError(message) from error
    return learned


def add(classifier: TransformerClassifier, folder: Path, topic: OwnTopic, others: Sequence[str]) -> Learned:
    """Learn a topic on this model and keep it. Raises ModelError."""
    check_key(topic.key)
    learned = learn(classifier, topic, others)
    write_topic(folder, msgspec.structs.replace(topic, model=classifier.version), pack(learned))
    return learned


def load_topics(classifier: TransformerClassifier, folder: Path) -> tuple[Learned, ...]:
    """The topics of a folder for this model; one learned on another model is learned anew from its file, not written. Raises ModelError."""
    found = []
    for topic in read_topics(folder):
        if topic.model == classifier.version:
            found.append(unpack(topic.key, read_weights(folder, topic), classifier.network.shape.hidden))
        else:
            found.append(learn(classifier, topic, background()))
    return tuple(found)


def with_own_topics(classifier: Classifier, folder: Path) -> Classifier:
    """The classifier, if it is a network of ours with the topics of `folder` beside its own. Raises ModelError."""
    if isinstance(classifier, TransformerClassifier):
        classifier.extra_topics = load_topics(classifier, folder)
    return classifier
