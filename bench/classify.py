"""Benchmark: headlines classified per second, compared with transformers' pipeline on the same weights and texts.

Both run alternately in one process. The pipeline is what a user would write: fp32, batches of 32 in the order of the texts.
`peak_fraction` is the encoder's arithmetic throughput divided by that of matrix products alone on this machine at the same time.
"""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import msgspec
import torch
from tqdm import tqdm  # type: ignore[import-untyped]

from bench.texts import headlines
from bench.transformers_baseline import make_pipeline
from models.heads import SENTIMENTS, Shape
from models.inference.encoding import compose, encode_pairs
from models.inference.transformer import TransformerClassifier

PEAK_SIDE = 2048
PEAK_PRODUCTS = 6
GPU_PEAK_SIDE = 8192


class Classify(msgspec.Struct, frozen=True, kw_only=True):
    """Medians over `repeats` rounds.

    tokens: mean tokens per text; agreement: share of texts with the same predicted sentiment
    peak_tflops: of bf16 or fp32 products of square matrices, one per core; peak_fraction: throughput of the encoder divided by it
    """

    docs_per_s: float
    hf_docs_per_s: float
    ratio: float
    tokens_per_s: float
    peak_fraction: float
    peak_tflops: float
    device: str
    precision: str
    threads: int
    docs: int
    hf_docs: int
    tokens: float
    repeats: int
    agreement: float
    model: str
    texts: str


def measure(folder: Path, *, data: Path | None = None, docs: int = 4096, hf_docs: int = 512, repeats: int = 5) -> Classify:
    """Measure a model version on `docs` headlines, and the pipeline on `hf_docs` of them.

    Args:
        folder: version folder.
        data: folder with stream/*.jsonl.gz; None for the built-in headlines.
        docs: headlines for our classifier.
        hf_docs: headlines for the pipeline.
        repeats: rounds.

    Raises:
        SettingsError: `data` has no streams.
    """
    where, every = headlines(docs, data)
    texts = [compose(each.title, each.text) for each in every]
    some = texts[:: max(1, len(texts) // hf_docs)][:hf_docs]
    exact = TransformerClassifier.load(folder, dtype=torch.float32)
    ours = TransformerClassifier.load(folder)
    theirs = make_pipeline(ours, exact.network)
    tokens = sum(map(len, encode_pairs(ours.tokenizer, [(text, "") for text in texts], ours.max_tokens)))
    threads = torch.get_num_threads()
    precision = torch.bfloat16 if ours.precision == "bfloat16" else torch.float32
    predicted = {text: found.sentiment for text, found in zip(texts, ours.classify(every), strict=True)}
    same = [
        label["label"] == SENTIMENTS[max(range(3), key=predicted[text].__getitem__)] for text, label in zip(some, theirs(some), strict=True)
    ]
    ours_s, theirs_s, peaks = [], [], []
    for _ in tqdm(range(repeats), desc="classify", unit="round"):
        peaks.append(peak_flops(precision, threads, ours.device))
        began = perf_counter()
        ours.classify(every)
        ours_s.append(perf_counter() - began)
        began = perf_counter()
        theirs(some)
        theirs_s.append(perf_counter() - began)
    fast, slow, peak = len(every) / statistics.median(ours_s), len(some) / statistics.median(theirs_s), statistics.median(peaks)
    return Classify(
        docs_per_s=round(fast, 1),
        hf_docs_per_s=round(slow, 1),
        ratio=round(fast / slow, 2),
        tokens_per_s=round(fast * tokens / len(every), 1),
        peak_fraction=round(fast * tokens / len(every) * flops_per_token(ours.network.shape, tokens / len(every)) / peak, 3),
        peak_tflops=round(peak / 1e12, 3),
        device=ours.device.type,
        precision=ours.precision,
        threads=threads,
        docs=len(every),
        hf_docs=len(some),
        tokens=round(tokens / len(every), 1),
        repeats=repeats,
        agreement=round(sum(same) / len(same), 4),
        model=ours.version,
        texts=where,
    )


def flops_per_token(shape: Shape, length: float) -> float:
    """Floating-point operations of the encoder's matrix products per token, for a text of `length` tokens."""
    layer = 2 * shape.hidden * (4 * shape.hidden + 2 * shape.ffn) + 4 * length * shape.hidden
    return shape.layers * layer


def peak_flops(dtype: torch.dtype, threads: int, device: torch.device) -> float:
    """Floating-point operations per second of square matrix products; on the CPU, one product per core at a time."""
    if device.type == "cuda":
        return _gpu_peak_flops(dtype, device)
    a = torch.randn(PEAK_SIDE, PEAK_SIDE).to(dtype)

    def work(_lane: int) -> None:
        torch.set_num_threads(1)
        with torch.inference_mode():
            for _ in range(PEAK_PRODUCTS):
                a @ a

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))  # compiles kernels and warms caches
        began = perf_counter()
        list(pool.map(work, range(threads)))
        return threads * PEAK_PRODUCTS * 2.0 * PEAK_SIDE**3 / (perf_counter() - began)


def _gpu_peak_flops(dtype: torch.dtype, device: torch.device) -> float:
    a = torch.randn(GPU_PEAK_SIDE, GPU_PEAK_SIDE, device=device).to(dtype)
    a @ a
    torch.cuda.synchronize(device)
    began = perf_counter()
    for _ in range(PEAK_PRODUCTS):
        a @ a
    torch.cuda.synchronize(device)
    return PEAK_PRODUCTS * 2.0 * GPU_PEAK_SIDE**3 / (perf_counter() - began)
