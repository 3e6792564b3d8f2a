"""Engines have the same outputs as the network, independent of batches."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from models.inference.agreement_record import AgreementRecord
from models.inference.engine import (
    DeviceEngine,
    PackedEngine,
    PaddedEngine,
    agreement_sample,
    attention_groups,
    attention_width,
    choose_engine,
    pack_tokens,
    padded_row_count,
)
from tests.helpers.tiny_model import HEADS, shipped_tokenizer, tiny_network

OUTPUTS = {**HEADS, "risks": 17, "tags": 7}
RNG = random.Random(5)
IDS = [[0, *(RNG.randrange(5, 30_000) for _ in range(RNG.randrange(0, 60))), 2] for _ in range(300)]


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("pack", [64, 2048])
def test_packed_outputs_equal_padded_outputs_in_order(lanes: int, pack: int):
    network = tiny_network(OUTPUTS)
    exact = PaddedEngine(network).read(IDS)
    found = PackedEngine(network, torch.float32, lanes=lanes, pack_tokens=pack).read(IDS)
    assert set(found.logits) == {"sentiment", "topics", "risks"}
    for name, values in exact.logits.items():
        np.testing.assert_allclose(found.logits[name], values, atol=2e-5)
    np.testing.assert_allclose(found.pooled, exact.pooled, atol=2e-5)


@pytest.mark.parametrize("batch_tokens", [64, 32_768])
def test_device_outputs_equal_those_of_the_network(batch_tokens: int):
    """On the CPU, which runs the same steps; on a GPU `choose_engine` compares its outputs with fp32."""
    network = tiny_network(OUTPUTS)
    exact = PaddedEngine(network).read(IDS)
    engine = DeviceEngine(network, torch.device("cpu"), torch.float32, batch_tokens=batch_tokens)
    found = engine.read(IDS)
    assert set(found.logits) == {"sentiment", "topics", "risks"}
    for name, values in exact.logits.items():
        np.testing.assert_allclose(found.logits[name], values, atol=2e-5)
    np.testing.assert_allclose(found.pooled, exact.pooled, atol=2e-5)
    none = engine.read([])
    assert (none.pooled.shape, none.logits["topics"].shape) == ((0, 32), (0, 21))
    assert not any(layer.fused for layer in network.layers), "the network itself stays as it is"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_fails_is_not_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # as with a driver that then fails
    engine, _ = choose_engine(tiny_network(OUTPUTS), shipped_tokenizer())
    assert isinstance(engine, PackedEngine)
    assert engine.device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
def test_a_gpu_is_used_if_available():
    engine, dtype = choose_engine(tiny_network(OUTPUTS), shipped_tokenizer())
    assert (type(engine), engine.device.type, dtype) == (DeviceEngine, "cuda", torch.bfloat16)
    exact, found = PaddedEngine(tiny_network(OUTPUTS)).read(IDS), engine.read(IDS)
    np.testing.assert_allclose(found.pooled, exact.pooled, atol=0.05)


def test_outputs_do_not_depend_on_the_batch():
    engine = PackedEngine(tiny_network(OUTPUTS), torch.float32)
    together = engine.read(IDS)
    for place in (0, 17, 299):
        alone = engine.read([IDS[place]])
        np.testing.assert_allclose(alone.logits["sentiment"][0], together.logits["sentiment"][place], atol=1e-5)


def test_extreme_attention_scores_stay_finite():
    network = tiny_network(OUTPUTS)
    with torch.no_grad():
        for layer in network.layers:
            layer.qkv.weight.mul_(1e4)  # type: ignore[union-attr,operator]
    assert np.isfinite(PackedEngine(network, torch.float32).read(IDS).pooled).all()


def test_no_texts_give_no_rows():
    found = PackedEngine(tiny_network(OUTPUTS), torch.float32).read([])
    assert found.pooled.shape == (0, 32)
    assert found.logits["topics"].shape == (0, 21)


def test_packs_contain_every_text_once_within_the_budget():
    lengths = [len(row) for row in IDS]
    packs = pack_tokens(lengths, 256)
    assert sorted(i for rows in packs for i in rows) == list(range(len(IDS)))
    assert all(sum(lengths[i] for i in rows) <= 256 for rows in packs)
    assert pack_tokens([300, 5], 256) == [[0], [1]]


def test_groups_contain_every_token_once_and_have_few_shapes():
    lengths = [20, 17, 9, 9, 9, 8, 3]
    groups = attention_groups(lengths, torch.float32)
    assert [(g.tokens, g.rows, g.width) for g in groups] == [(slice(0, 37), 2, 24), (slice(37, 64), 3, 16), (slice(64, 75), 2, 8)]
    for group in groups:
        assert group.places[group.back].tolist() == list(range(group.tokens.start, group.tokens.stop))
        assert int(group.present.sum()) == len(group.back)
    assert [padded_row_count(n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 97)] == [1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 16, 128]
    assert [attention_width(n) for n in (1, 8, 9, 64, 65, 100, 129, 256)] == [8, 8, 16, 64, 80, 112, 160, 256]
    assert len({attention_width(n) for n in range(1, 257)}) == 16


def test_an_engine_whose_labels_differ_is_not_chosen(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """If oneDNN computed wrong results, the unchanged network would be used, with a warning."""
    network = tiny_network(OUTPUTS)
    assert isinstance(choose_engine(network, shipped_tokenizer())[0], PackedEngine)
    real = PackedEngine.read

    def wrong(self: PackedEngine, ids: list[list[int]]) -> object:
        found = real(self, ids)
        return found._replace(logits={name: -values for name, values in found.logits.items()})

    monkeypatch.setattr(PackedEngine, "read", wrong)
    engine, dtype = choose_engine(network, shipped_tokenizer())
    assert (type(engine), dtype) == (PaddedEngine, torch.float32)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tocsin" / "engines"


def test_an_engine_that_agreed_is_not_compared_again(cache: Path, monkeypatch: pytest.MonkeyPatch):
    network, tokenizer = tiny_network(OUTPUTS, seed=2), shipped_tokenizer()
    first, dtype = choose_engine(network, tokenizer, record=AgreementRecord({"model.safetensors": "aa"}))
    assert isinstance(first, PackedEngine)
    assert len(list(cache.iterdir())) == 1

    def never(self: PaddedEngine, ids: list[list[int]]) -> object:
        raise AssertionError("compared")

    monkeypatch.setattr(PaddedEngine, "read", never)
    again, same = choose_engine(network, tokenizer, record=AgreementRecord({"model.safetensors": "aa"}))
    assert (type(again), same) == (PackedEngine, dtype)
    np.testing.assert_array_equal(again.read(IDS).pooled, first.read(IDS).pooled)
    with pytest.raises(AssertionError, match="compared"):
        choose_engine(network, tokenizer, record=AgreementRecord({"model.safetensors": "ab"}))  # another model
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # other kernels
    with pytest.raises(AssertionError, match="compared"):
        choose_engine(network, tokenizer, record=AgreementRecord({"model.safetensors": "aa"}))


def test_an_engine_that_disagrees_is_compared_at_every_start(cache: Path, monkeypatch: pytest.MonkeyPatch):
    network, real, read = tiny_network(OUTPUTS), PackedEngine.read, []

    def wrong(self: PackedEngine, ids: list[list[int]]) -> object:
        read.append(len(ids))
        found = real(self, ids)
        return found._replace(logits={name: -values for name, values in found.logits.items()})

    monkeypatch.setattr(PackedEngine, "read", wrong)
    engines = [choose_engine(network, shipped_tokenizer(), record=AgreementRecord({}))[0] for _ in range(2)]
    assert {type(engine) for engine in engines} == {PaddedEngine}
    half = len(read) // 2
    assert half and read[:half] == read[half:]
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert isinstance(choose_engine(tiny_network(OUTPUTS), shipped_tokenizer(), record=AgreementRecord({}))[0], PackedEngine)


def test_the_sample_is_in_both_languages():
    tokenizer = shipped_tokenizer()
    texts = [tokenizer.decode(row) for row in agreement_sample(tokenizer)]
    assert 150 <= len(texts) <= 400
    assert sum(any("一" <= sign <= "鿿" for sign in text) for text in texts) > 50
