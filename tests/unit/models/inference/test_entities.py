"""Entities: offsets refer to the given text, and long texts are read to the end."""

from __future__ import annotations

import random
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from core.errors import ModelError
from models.heads import TAG_NAMES
from models.inference.encoding import encode_pairs, pad
from models.inference.entities import IGNORED, Span, pieces_of, spans_of_bio, tag_ids, tag_spans, viterbi
from models.inference.transformer import TransformerClassifier
from tests.helpers.tiny_model import shipped_tokenizer, tiny_classifier, tiny_network

STRANGE = ("㈱", "①", "㌔", "ﬁ", "😀", "👩‍👩‍👧", "e\u0301", "Ａ", "１", " ", "\u3000", "\n\t", "苹果", "Tesla", "，", "\u200b", "½", "İ")
WORDS = ("Tesla Inc", "上海", "㈱", "é", "①号")
LABELS = ("O", "PER", "ORG", "LOC")


def _named(text: str, spans: list[Span]) -> list[str]:
    return [text[span.start : span.end] for span in spans]


def test_bio_tags_become_spans_and_an_initial_inside_tag_is_repaired():
    text, spans = spans_of_bio(["张", "三", "在", "北", "京"], ["B-PER", "I-PER", "O", "I-LOC", "I-LOC"], "zh")
    assert text == "张三在北京"
    assert spans == [Span(0, 2, "PER"), Span(3, 5, "LOC")]
    text, spans = spans_of_bio(["Acme", "Corp", "Paris", "Bell"], ["B-ORG", "I-ORG", "I-LOC", "B-LOC"], "en")
    assert text == "Acme Corp Paris Bell"
    assert _named(text, spans) == ["Acme Corp", "Paris", "Bell"]


def test_unknown_entity_types_are_ignored():
    assert spans_of_bio(["Dow", "Jones"], ["B-MISC", "I-MISC"], "en") == ("Dow Jones", [])


def test_tokens_and_tags_of_different_length_are_refused():
    with pytest.raises(ModelError, match="2 tokens have 1 tags"):
        spans_of_bio(["a", "b"], ["O"], "en")


@pytest.mark.parametrize("text", ["Apple Inc. said", "苹果公司 Ａｐｐｌｅ", "㈱ソニー①", "😀 Tesla📈 up", "  two\n\tspaces", ""])
@pytest.mark.parametrize("max_tokens", [4, 64])
def test_there_is_one_tag_for_each_token_id(text, max_tokens):
    tags = tag_ids(shipped_tokenizer(), text, [], max_tokens)
    ids = encode_pairs(shipped_tokenizer(), [(text, "")], max_tokens)[0]
    assert len(tags) == len(ids)
    assert tags[0] == tags[-1] == IGNORED


@given(st.lists(st.sampled_from(STRANGE), max_size=12).map("".join))
@example("㈱ソニー①")
@settings(max_examples=60, deadline=None)
def test_pieces_cover_every_character_except_white_space(text):
    """Offsets increase, never start with white space, and together cover all other characters."""
    pieces = pieces_of(text, shipped_tokenizer().encode(text))
    held = set()
    for piece in pieces:
        assert piece.start < piece.end <= len(text)
        assert not text[piece.start].isspace()
        held |= set(range(piece.start, piece.end))
    assert [piece.start for piece in pieces] == sorted(piece.start for piece in pieces)
    assert {i for i, char in enumerate(text) if not char.isspace()} <= held


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(WORDS)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_spans_survive_a_round_trip_through_tags(parts):
    """Words that share no pieces keep their offsets when they are tagged and read back."""
    text, spans = "", []
    for kind, word in parts:
        text += " "
        if kind != "O":
            spans.append(Span(len(text), len(text) + len(word), kind))
        text += word
    tags = tag_ids(shipped_tokenizer(), text, spans, 512)
    read: list[Span] = []
    for piece in pieces_of(text, shipped_tokenizer().encode(text)):
        name = TAG_NAMES[tags[piece.place]]
        if name.startswith("B"):
            read.append(Span(piece.start, piece.end, name[2:]))
        elif name.startswith("I"):
            read[-1] = Span(read[-1].start, piece.end, name[2:])
    assert read == spans


def test_viterbi_finds_the_best_valid_sequence():
    """Viterbi compared with an exhaustive search over all sequences of four tags."""
    rng = np.random.default_rng(1)
    illegal = {(a, b) for a, b in product(range(7), repeat=2) if TAG_NAMES[b][0] == "I" and TAG_NAMES[b][2:] != TAG_NAMES[a][2:]}
    for _ in range(20):
        scores = rng.normal(size=(4, 7)) * 2
        paths = (path for path in product(range(7), repeat=4) if TAG_NAMES[path[0]][0] != "I")
        legal = (path for path in paths if not illegal & set(pairwise(path)))
        assert tuple(viterbi(scores)) == max(legal, key=lambda path: sum(scores[i, tag] for i, tag in enumerate(path)))


def test_the_error_without_the_tag_head_names_it():
    with pytest.raises(ModelError, match="no head 'tags'"):
        tag_spans(tiny_classifier(), ["Acme"])


NAMES = {
    "ORG": ("Brenholm Steel", "Tallis Bank", "远舟控股", "青屿生物", "㈱松岭"),
    "PER": ("Anna Kestrel", "Omar Quill", "李云麓", "王栖霞"),
    "LOC": ("Ostrava", "Lisbon", "澄湖市", "梧桐县"),
}
FRAMES = (
    "{PER} of {ORG} spoke in {LOC}",
    "shares of {ORG} fell 😀",
    "{ORG}在{LOC}的{PER}表示①",
    "in {LOC} {ORG} hired {PER}",
    "今日{LOC}大雨",
)


def _sentences(rng: random.Random, count: int = 1) -> tuple[str, list[Span]]:
    text, spans = "", []
    for part in " . ".join(rng.choices(FRAMES, k=count)).replace("}", "{").split("{"):
        if part in NAMES:
            name = rng.choice(NAMES[part])
            spans.append(Span(len(text), len(text) + len(name), part))
            text += name
        else:
            text += part
    return text, spans


@pytest.fixture(scope="module")
def tagger() -> TransformerClassifier:
    """A tiny network trained on a few names in a few seconds."""
    rng = random.Random(3)
    network = tiny_network({"sentiment": 3, "tags": len(TAG_NAMES)}, hidden=32, positions=64)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(60):
        rows = [_sentences(rng, 3) for _ in range(16)]
        ids = pad(encode_pairs(shipped_tokenizer(), [(text, "") for text, _ in rows], 32))
        wanted = torch.full(ids.shape, IGNORED)
        for i, (text, spans) in enumerate(rows):
            tags = tag_ids(shipped_tokenizer(), text, spans, 32)
            wanted[i, : len(tags)] = torch.tensor(tags)
        loss = functional.cross_entropy(network(ids).logits["tags"].flatten(0, 1), wanted.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return tiny_classifier(network, max_tokens=32)


def test_entities_have_offsets_in_the_original_text(tagger):
    rng = random.Random(4)
    rows = [_sentences(rng) for _ in range(30)]
    found = tag_spans(tagger, [text for text, _ in rows])
    for (text, spans), read in zip(rows, found, strict=True):
        assert [span[:3] for span in read] == [span[:3] for span in spans], text
        assert all(0.3 < span.probability <= 1 for span in read)


def test_a_long_text_is_read_to_its_end_in_windows(tagger):
    """Thirty sentences in windows of 32 pieces: names at window edges are complete and found once."""
    rng = random.Random(5)
    whole, wanted = _sentences(rng, 30)
    found = {span[:3] for span in tag_spans(tagger, [whole], max_tokens=32)[0]}
    hits = sum(span[:3] in found for span in wanted)
    assert hits >= 0.9 * len(wanted)
    assert len(found) <= 1.1 * len(wanted)
    assert any(start > len(whole) - 60 for start, _, _ in found)


def test_no_text_and_an_empty_one_have_no_spans(tagger):
    assert tag_spans(tagger, []) == []
    assert tag_spans(tagger, ["", "  "]) == [[], []]


def test_entities_do_not_depend_on_the_batch(tagger):
    rng = random.Random(6)
    texts = [_sentences(rng)[0] for _ in range(9)]
    together = tag_spans(tagger, texts)
    assert [[span[:3] for span in spans] for spans in together] == [[span[:3] for span in tag_spans(tagger, [text])[0]] for text in texts]
