"""The training loop, its early stopping and its TensorBoard log.

examples ─▶ token ids ─▶ token-budget batches ─▶ gradients by threads or processes (models.training.parallel) ─▶ AdamW
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from tqdm import tqdm  # type: ignore[import-untyped]

from models.heads import SENTIMENT_HEADS, LabelSet, label_columns
from models.inference.encoding import PAD_ID, encode_pairs, mask_id, pack, pad, width_of
from models.inference.entities import tag_ids
from models.inference.network import Network
from models.training.checkpoint import Checkpointer
from models.training.examples import Example
from models.training.losses import UNTAGGED, Batch
from models.training.parallel import Loss, gradient_engine

LOG_EVERY = 20
POOL = 6000  # rows are sorted by length within pools of this size only, so that batches differ between epochs


@dataclass(frozen=True, slots=True)
class TrainingSchedule:
    """Learning rate schedule and batch size.

    lr: peak learning rate, reached after `warmup` (share of the run), then linear decay to 0
    head_lr_scale: factor for the heads, which start from random weights; with the encoder's rate rare labels are never predicted
    weight_decay: of the encoder's matrices
    batch_tokens: padded tokens per thread and step
    mask_tokens: share of the tokens replaced by <mask>, as regularisation
    threads: CPU threads that compute gradients
    limit_s: time limit in seconds, to which the schedule is shortened if necessary; only a run that ends before it is reproducible
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
    """Token ids of each example, and index -> tag ids for examples with spans."""
    ids = encode_pairs(tokenizer, [(example.text, example.target) for example in found], max_tokens)
    tags = {i: tag_ids(tokenizer, e.text, e.spans, max_tokens) for i, e in enumerate(found) if e.spans is not None}
    return ids, tags


def class_weights(found: Sequence[Example], power: float) -> list[float]:
    """Weight of each example: its own times (mean class count / class count) ** power within its set; power 0 keeps its own."""
    counts: dict[tuple[str, tuple[bool, bool, bool]], int] = {}
    for example in found:
        key = example.source, example.right
        counts[key] = counts.get(key, 0) + 1
    by_source: dict[str, list[int]] = {}
    for (source, _), count in counts.items():
        by_source.setdefault(source, []).append(count)
    means = {source: float(np.mean(each)) for source, each in by_source.items()}
    return [e.weight * float((means[e.source] / counts[e.source, e.right]) ** power) for e in found]


def batches(lengths: Sequence[int], budget_tokens: int, rng: random.Random) -> list[list[int]]:
    """Batches of indices of similar lengths, from a random order that is sorted within pools only."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    found: list[list[int]] = []
    for start in range(0, len(order), POOL):
        pool = order[start : start + POOL]
        found += [[pool[i] for i in batch] for batch in pack([width_of(lengths[i]) for i in pool], budget_tokens)]
    rng.shuffle(found)
    return found


class Collator:
    """Builds batches from encoded examples."""

    def __init__(
        self,
        label_sets: Mapping[str, LabelSet],
        training_schedule: TrainingSchedule,
        seed: int,
        mask_id: int,
        sentiment_sets: Sequence[str] = (),
    ) -> None:
        self._mask_id = mask_id
        self._seed = seed
        columns = label_columns(label_sets)
        self._number = {source: number for number, source in enumerate(label_sets)}
        self._column = {
            source: {name: columns[source].start + i for i, name in enumerate(each.names)} for source, each in label_sets.items()
        }
        self._outputs = sum(len(each.names) for each in label_sets.values())
        self._exclusive = {source for source, each in label_sets.items() if each.exclusive}
        self._training_schedule = training_schedule
        self._head = {name: number for number, name in enumerate((*SENTIMENT_HEADS, *sentiment_sets))}

    def __call__(
        self,
        found: Sequence[Example],
        ids: Sequence[Sequence[int]],
        tags: Mapping[int, list[int]],
        weights: Sequence[float],
        rows: Sequence[int],
        step: int,
    ) -> Batch:
        """Build the batch of `rows`.

        Args:
            found: all examples of the epoch.
            ids: their token ids.
            tags: index -> tag ids.
            weights: their class weights.
            rows: indices of the batch.
            step: step number, which seeds the masking.

        Returns:
            The batch, padded to one of few widths, because matrix kernels are compiled per shape.
        """
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
        hidden = torch.from_numpy(noise.random(padded.shape) < self._training_schedule.mask_tokens) & (padded != PAD_ID)
        hidden[:, 0] = False
        hidden &= (tagged == UNTAGGED).all(1, keepdim=True)
        return Batch(
            padded.masked_fill(hidden, self._mask_id),
            torch.tensor([e.right for e in some]),
            torch.tensor([e.possible for e in some]),
            torch.tensor([self._head.get(e.head, -1) for e in some]),
            torch.tensor([weights[i] for i in rows]),
            torch.tensor([e.topics for e in some]),
            torch.tensor([e.topic_weights for e in some]),
            torch.tensor([e.risks for e in some]),
            torch.tensor([e.risk_weights for e in some]),
            sets,
            labels,
            tagged,
            torch.tensor([e.materiality for e in some]),
        )


def optimizer_for(network: Network, training_schedule: TrainingSchedule) -> torch.optim.AdamW:
    """AdamW with a separate learning rate for the heads, and no weight decay for heads, biases and norms."""
    heads = [p for name in network.shape.outputs for p in network.head(name).parameters()]
    in_heads = {id(p) for p in heads}
    encoder = [p for p in network.parameters() if p.requires_grad and id(p) not in in_heads]
    decay, plain = [p for p in encoder if p.dim() > 1], [p for p in encoder if p.dim() <= 1]
    groups = [
        {"params": decay, "weight_decay": training_schedule.weight_decay, "scale": 1.0},
        {"params": plain, "weight_decay": 0.0, "scale": 1.0},
        {"params": heads, "weight_decay": 0.0, "scale": training_schedule.head_lr_scale},
    ]
    return torch.optim.AdamW(groups, lr=training_schedule.lr, betas=(0.9, 0.98), fused=True)


def learning_rate_factor(done: float, warmup: float) -> float:
    """Factor of the peak learning rate when the share `done` of the run is complete: linear warmup and decay, at least 0.01."""
    return max(0.01, done / warmup if done < warmup else (1.0 - done) / (1.0 - warmup))


@dataclass(frozen=True, slots=True)
class Hooks:
    """Callbacks of a training run.

    check: evaluates the network, `checks` times in the run, the last time at its end; gets (step, total), returns whether to continue
    log: gets (step, figures) every LOG_EVERY steps
    after_step: gets the step number after each update of the weights
    checkpoints: writes checkpoints and restores one at the start
    """

    check: Callable[[int, int], bool]
    checks: int
    log: Callable[[int, Mapping[str, float]], None] = lambda _step, _figures: None
    after_step: Callable[[int], None] = lambda _step: None
    checkpoints: Checkpointer | None = None


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
    training_schedule: TrainingSchedule,
    seed: int,
    hooks: Hooks,
    sentiment_sets: Sequence[str] = (),
) -> int:
    """Train a network in place. The same seed and thread count give the same weights.

    Args:
        network: the network.
        tokenizer: its tokenizer.
        draw: draws the examples of an epoch.
        label_sets: original labels by set.
        loss: loss of a batch, summed over its rows.
        epochs: number of epochs.
        max_tokens: longer texts are cut.
        class_power: see `class_weights`.
        training_schedule: learning rate and batch size.
        seed: random seed.
        hooks: callbacks.
        sentiment_sets: published sets with sentiment outputs of their own.

    Returns:
        The number of steps done.
    """
    rng = random.Random(seed)  # noqa: S311
    collate = Collator(label_sets, training_schedule, seed, mask_id(tokenizer), sentiment_sets)
    engine = gradient_engine(network, loss, training_schedule.threads, timed=training_schedule.limit_s is not None)
    optimizer = optimizer_for(network, training_schedule)
    begin, before_s = hooks.checkpoints.restore(network, optimizer) if hooks.checkpoints is not None else (0, 0.0)
    started = monotonic() - before_s
    step = total = checked = 0
    mean = 0.0
    try:
        for epoch in range(epochs):
            found = draw()
            ids, tags = encode(tokenizer, found, max_tokens)
            weights = class_weights(found, class_power)
            batch_rows = batches([len(row) for row in ids], training_schedule.batch_tokens, rng)
            groups = engine.share(
                [[lot for lot in group if lot] for group in zip_longest(*[iter(batch_rows)] * engine.lanes, fillvalue=[])]
            )
            total = total or len(groups) * epochs
            tqdm.write(f"epoch {epoch + 1}: {len(found)} examples, {sum(map(len, ids))} tokens, {len(groups)} steps")
            bar = tqdm(groups, desc=f"epoch {epoch + 1}/{epochs}", mininterval=5.0, unit="step")
            for group in bar:
                if step < begin:  # a resumed run repeats the random draws and computes from the step of the checkpoint
                    step += 1
                    continue
                done = (
                    step / total
                    if training_schedule.limit_s is None
                    else max(step / total, (monotonic() - started) / training_schedule.limit_s)
                )
                rate = training_schedule.lr * learning_rate_factor(done, training_schedule.warmup)
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
                if hooks.checkpoints is not None:
                    hooks.checkpoints.tick(network, optimizer, step, monotonic() - started)
                over = step >= total or done >= 1.0
                if over or done * hooks.checks >= checked + 1:
                    checked += 1
                    if not hooks.check(step, total) or over:
                        return step
        return step
    except KeyboardInterrupt:
        if hooks.checkpoints is not None:
            hooks.checkpoints.write(network, optimizer, step, monotonic() - started)
        raise
    finally:
        engine.close()


class TensorBoardLog:
    """TensorBoard log of one run; without a folder it writes nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._writer: Any = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Log figures of a step."""
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the log."""
        if self._writer is not None:
            self._writer.close()


class EarlyStopping:
    """Early stopping after `patience` checks without improvement."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._best = float("-inf")
        self._stale = 0
        self.improved = False
        """Whether the last score was the best so far."""

    def go_on(self, score: float) -> bool:
        """Record a score; whether to continue."""
        self.improved = score > self._best
        self._stale = 0 if self.improved else self._stale + 1
        self._best = max(score, self._best)
        return self._stale < self._patience
