"""The training loop: where is the time spent, and what happens at a step?

examples ─▶ token ids ─▶ token-budget batches ─▶ crew: forward, backward ─▶ AdamW
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from time import monotonic
from typing import Protocol

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from tqdm import tqdm  # type: ignore[import-untyped]

from models.heads import SENTIMENT_HEADS, LabelSet, label_columns
from models.inference.encoding import PAD_ID, encode_pairs, mask_id, pack, pad, width_of
from models.inference.entities import tag_ids
from models.inference.network import Network
from models.training.checkpoint import Keeper
from models.training.data import Example
from models.training.losses import UNTAGGED, Batch
from models.training.parallel import Loss, engine_for

LOG_EVERY = 20
POOL = 6000  # rows among which like lengths are brought together, so that batches differ between epochs


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast, and for how long.

    lr: peak, reached after `warmup` (share of the run), then linear to 0
    head_lr_scale: the heads begin from nothing, and their rare answers never rise at the encoder's pace
    batch_tokens: padded tokens of one thread at one step
    mask_tokens: share of the pieces that are hidden from the network, so that no single one decides
    limit_s: where the machine is too slow for all steps, the schedule ends after so many seconds; only a run that ends
        before it can be repeated exactly
    """

    lr: float
    head_lr_scale: float
    warmup: float
    weight_decay: float
    batch_tokens: int
    mask_tokens: float
    threads: int
    limit_s: float | None


class Epoch(Protocol):
    """Draws the examples of the next epoch."""

    def __call__(self) -> list[Example]:
        """The examples, in any order."""
        ...


def encode(tokenizer: Tokenizer, found: Sequence[Example], max_tokens: int) -> tuple[list[list[int]], dict[int, list[int]]]:
    """Token ids of each example, and the tag ids of those that have spans, by their place."""
    ids = encode_pairs(tokenizer, [(example.text, example.target) for example in found], max_tokens)
    tags = {i: tag_ids(tokenizer, e.text, e.spans, max_tokens) for i, e in enumerate(found) if e.spans is not None}
    return ids, tags


def class_weights(found: Sequence[Example], power: float) -> list[float]:
    """(mean count / count) ** power of each example's sentiment among those of its set: 0 leaves the classes as they are."""
    counts: dict[tuple[str, tuple[bool, bool, bool]], int] = {}
    for example in found:
        key = example.source, example.right
        counts[key] = counts.get(key, 0) + 1
    by_source: dict[str, list[int]] = {}
    for (source, _), count in counts.items():
        by_source.setdefault(source, []).append(count)
    means = {source: float(np.mean(each)) for source, each in by_source.items()}
    return [float((means[e.source] / counts[e.source, e.right]) ** power) for e in found]


def batches(lengths: Sequence[int], budget_tokens: int, dice: random.Random) -> list[list[int]]:
    """Batches of like lengths from a random order: sorted in pools only."""
    order = list(range(len(lengths)))
    dice.shuffle(order)
    found: list[list[int]] = []
    for start in range(0, len(order), POOL):
        pool = order[start : start + POOL]
        found += [[pool[i] for i in batch] for batch in pack([width_of(lengths[i]) for i in pool], budget_tokens)]
    dice.shuffle(found)
    return found


class Collator:
    """Makes batches of encoded examples."""

    def __init__(self, label_sets: Mapping[str, LabelSet], pace: Pace, seed: int, mask_id: int) -> None:
        self._mask_id = mask_id
        self._seed = seed
        columns = label_columns(label_sets)
        self._number = {source: number for number, source in enumerate(label_sets)}
        self._column = {
            source: {name: columns[source].start + i for i, name in enumerate(each.names)} for source, each in label_sets.items()
        }
        self._outputs = sum(len(each.names) for each in label_sets.values())
        self._exclusive = {source for source, each in label_sets.items() if each.exclusive}
        self._pace = pace

    def __call__(
        self,
        found: Sequence[Example],
        ids: Sequence[Sequence[int]],
        tags: Mapping[int, list[int]],
        weights: Sequence[float],
        rows: Sequence[int],
        step: int,
    ) -> Batch:
        """The batch of `rows`, padded to one of few widths, for matrix kernels are made per shape; `step` decides what is hidden."""
        width = width_of(max(len(ids[i]) for i in rows))
        some = [found[i] for i in rows]
        padded = pad([ids[i] for i in rows], (len(rows), width))
        tagged = torch.full((len(rows), width), UNTAGGED)
        labels = torch.zeros(len(rows), max(1, self._outputs))
        sets = torch.full((len(rows),), -1)
        for place, (row, example) in enumerate(zip(rows, some, strict=True)):
            if row in tags:
                tagged[place, : len(tags[row])] = torch.tensor(tags[row])
            columns = [self._column[example.source][name] for name in example.labels if name in self._column.get(example.source, {})]
            if columns or (example.labels and example.source in self._number and example.source not in self._exclusive):
                sets[place] = self._number[example.source]
                labels[place, columns] = 1.0
        noise = np.random.default_rng((self._seed, step, rows[0]))
        hidden = torch.from_numpy(noise.random(padded.shape) < self._pace.mask_tokens) & (padded != PAD_ID)
        hidden[:, 0] = False
        hidden &= (tagged == UNTAGGED).all(1, keepdim=True)
        return Batch(
            padded.masked_fill(hidden, self._mask_id),
            torch.tensor([e.right for e in some]),
            torch.tensor([e.possible for e in some]),
            torch.tensor([SENTIMENT_HEADS.index(e.head) for e in some]),
            torch.tensor([weights[i] for i in rows]),
            torch.tensor([e.topics for e in some]),
            torch.tensor([e.topic_weights for e in some]),
            torch.tensor([e.risks for e in some]),
            torch.tensor([e.risk_weights for e in some]),
            sets,
            labels,
            tagged,
        )


def optimizer_for(network: Network, pace: Pace) -> torch.optim.AdamW:
    """AdamW with the heads at a pace of their own and no decay on them, on biases and on norms."""
    heads = [p for name in network.shape.outputs for p in network.head(name).parameters()]
    in_heads = {id(p) for p in heads}
    body = [p for p in network.parameters() if p.requires_grad and id(p) not in in_heads]
    decay, plain = [p for p in body if p.dim() > 1], [p for p in body if p.dim() <= 1]
    groups = [
        {"params": decay, "weight_decay": pace.weight_decay, "scale": 1.0},
        {"params": plain, "weight_decay": 0.0, "scale": 1.0},
        {"params": heads, "weight_decay": 0.0, "scale": pace.head_lr_scale},
    ]
    return torch.optim.AdamW(groups, lr=pace.lr, betas=(0.9, 0.98), fused=True)


def schedule(done: float, warmup: float) -> float:
    """Share of the peak learning rate when `done` of the run is behind: up linearly, down linearly, never quite 0."""
    return max(0.01, done / warmup if done < warmup else (1.0 - done) / (1.0 - warmup))


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a run does besides its steps.

    check: looks at the network, `checks` times in the run, the last time at its end; whether to go on
    log: gets (step, figures) every LOG_EVERY steps
    after_step: gets the step's number, after the weights moved
    keeper: writes checkpoints, and begins from one when it has it
    """

    check: Callable[[int, int], bool]
    checks: int
    log: Callable[[int, Mapping[str, float]], None] = lambda _step, _figures: None
    after_step: Callable[[int], None] = lambda _step: None
    keeper: Keeper | None = None


def fit(
    network: Network,
    tokenizer: Tokenizer,
    draw: Epoch,
    label_sets: Mapping[str, LabelSet],
    loss: Loss,
    *,
    epochs: int,
    max_tokens: int,
    class_power: float,
    pace: Pace,
    seed: int,
    hooks: Hooks,
) -> int:
    """Train the network in place; the number of steps made. The same seed and thread count give the same weights."""
    dice = random.Random(seed)  # noqa: S311
    collate = Collator(label_sets, pace, seed, mask_id(tokenizer))
    engine = engine_for(network, loss, pace.threads, timed=pace.limit_s is not None)
    optimizer = optimizer_for(network, pace)
    begin, before_s = hooks.keeper.restore(network, optimizer) if hooks.keeper is not None else (0, 0.0)
    started = monotonic() - before_s
    step = total = checked = 0
    mean = 0.0
    try:
        for epoch in range(epochs):
            found = draw()
            ids, tags = encode(tokenizer, found, max_tokens)
            weights = class_weights(found, class_power)
            lots = batches([len(row) for row in ids], pace.batch_tokens, dice)
            groups = engine.share([[lot for lot in group if lot] for group in zip_longest(*[iter(lots)] * engine.lanes, fillvalue=[])])
            total = total or len(groups) * epochs
            tqdm.write(f"epoch {epoch + 1}: {len(found)} examples, {sum(map(len, ids))} tokens, {len(groups)} steps")
            bar = tqdm(groups, desc=f"epoch {epoch + 1}/{epochs}", mininterval=5.0, unit="step")
            for group in bar:
                if step < begin:  # a run that goes on draws what was drawn, and computes from where it was
                    step += 1
                    continue
                done = step / total if pace.limit_s is None else max(step / total, (monotonic() - started) / pace.limit_s)
                rate = pace.lr * schedule(done, pace.warmup)
                for each in optimizer.param_groups:
                    each["lr"] = rate * each["scale"]
                network.train()
                now = engine.gradients([collate(found, ids, tags, weights, rows, step) for rows in group])
                mean = 0.98 * mean + 0.02 * now if mean else now
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                step += 1
                hooks.after_step(step)
                if step % LOG_EVERY == 0:
                    bar.set_postfix(loss=f"{mean:.3f}", lr=f"{rate:.1e}")
                    hooks.log(step, {"loss": now, "learning rate": rate})
                if hooks.keeper is not None:
                    hooks.keeper.tick(network, optimizer, step, monotonic() - started)
                over = step >= total or done >= 1.0
                if over or done * hooks.checks >= checked + 1:
                    checked += 1
                    if not hooks.check(step, total) or over:
                        return step
        return step
    except KeyboardInterrupt:
        if hooks.keeper is not None:
            hooks.keeper.write(network, optimizer, step, monotonic() - started)
        raise
    finally:
        engine.close()
