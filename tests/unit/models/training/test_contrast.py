"""Contrast sentences: labels, held-out templates and reproducibility."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from models.training import contrast
from models.training.contrast import (
    LABELS,
    LANGUAGES,
    ContrastSentence,
    generate,
    lexicon,
    parse_templates,
    templates,
)

PER_TEMPLATE = 6


@pytest.fixture(scope="module")
def training() -> list[ContrastSentence]:
    return generate(1, PER_TEMPLATE, held_out=False)


@pytest.fixture(scope="module")
def held_out() -> list[ContrastSentence]:
    return generate(1, PER_TEMPLATE, held_out=True)


def normalise(text: str) -> str:
    """The text in half width and lower case, without spaces."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text).lower())


def test_the_same_seed_gives_the_same_sentences(training):
    assert generate(1, PER_TEMPLATE, held_out=False) == training
    assert generate(2, PER_TEMPLATE, held_out=False) != training


def test_labels_are_sentiments(training, held_out):
    for sentence in training + held_out:
        assert sentence.label in LABELS.values()
        assert sentence.company_label in {"", *LABELS.values()}
        assert bool(sentence.company) == bool(sentence.company_label)
        assert sentence.language in LANGUAGES


def test_a_company_occurs_in_its_sentence(training, held_out):
    for sentence in training + held_out:
        assert sentence.company in sentence.text


def test_all_slots_are_filled(training, held_out):
    """Brackets, braces and bars occur in templates only."""
    for sentence in training + held_out:
        assert not re.search(r"[\[\]{}|]|\s{2}|^\s|\s$", sentence.text), sentence.text
        assert (sentence.language == "zh") == bool(re.search(r"[一-鿿]", sentence.text)), sentence.text


def test_each_text_occurs_once(training, held_out):
    texts = [sentence.text for sentence in training + held_out]
    assert len(set(texts)) == len(texts)


def test_held_out_templates_are_not_in_training(training, held_out):
    """Nor does a held-out sentence equal a training sentence up to names and figures."""
    words = {"upv", "upped", "downv", "downed", "badn", "gon", "cbad", "cgood"}  # quantities and verbs, not names
    names = {word for language in LANGUAGES for key, entries in lexicon(language).items() if key not in words for word in entries}
    pattern = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))

    def skeleton(sentence: ContrastSentence) -> str:
        return re.sub(r"[\d.,]+", "0", pattern.sub("_", sentence.text))

    assert not {skeleton(sentence) for sentence in training} & {skeleton(sentence) for sentence in held_out}
    assert {t.text for t in templates() if t.held_out}.isdisjoint({t.text for t in templates() if not t.held_out})


def test_a_tenth_of_each_kind_is_held_out():
    kinds: dict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
    for template in templates():
        kinds[template.language, template.kind][template.held_out] += 1
    for kind, counts in kinds.items():
        assert counts[True] >= 1, kind
        assert counts[True] / counts.total() <= 0.25, kind
    for language in LANGUAGES:
        own = [template for template in templates() if template.language == language]
        assert len(own) >= 260
        assert 0.08 <= sum(template.held_out for template in own) / len(own) <= 0.13


def test_both_languages_have_the_same_kinds(training, held_out):
    for sentences in training, held_out:
        en, zh = ({s.kind for s in sentences if s.language == language} for language in LANGUAGES)
        assert en == zh == {template.kind for template in templates()}


def test_training_sentences_are_balanced(training):
    for language in LANGUAGES:
        labels = Counter(s.label for s in training if s.language == language)
        assert labels.total() >= 2000
        assert min(labels.values()) / labels.total() >= 0.22
        assert max(labels.values()) / labels.total() <= 0.45


def test_template_ids_are_unique():
    ids = [template.id for template in templates()]
    assert len(set(ids)) == len(ids)


def test_more_sentences_per_template_contain_the_fewer():
    """Each template has its own random generator."""
    few, many = generate(3, 1, held_out=True), generate(3, 4, held_out=True)
    assert {sentence.text for sentence in few} <= {sentence.text for sentence in many}


def test_there_are_many_company_names():
    for language in LANGUAGES:
        words = lexicon(language)
        kinds = {slot.rstrip("0123456789") for t in templates() if t.language == language for slot, _ in t.companies}
        names = [name for kind in kinds for name in set(words[kind])]
        assert len(set(names)) >= 60


@pytest.mark.parametrize("line", ["p|co=p", "x||text", "p||text"])
def test_an_invalid_line_is_reported(line):
    heading = "" if line == "p||text" else "@kind\n"
    with pytest.raises(ValueError, match="line"):
        parse_templates("en", heading + line)


def test_figures_agree_with_the_label(training):
    """A result that beats the consensus is larger, one that misses it smaller."""
    better = [s for s in training if ", consensus" in s.text and "$" in s.text]
    assert better
    for sentence in better:
        actual, reference = map(float, re.findall(r"\$(\d+\.\d+)", sentence.text))
        assert (actual > reference) == (sentence.label == "positive"), sentence.text


def test_the_hold_out_is_not_generated_for_training(training):
    holdout = Path(contrast.__file__).parents[1] / "evaluation" / "contrast_holdout.tsv"
    rows = [line.split("\t") for line in holdout.read_text(encoding="utf8").splitlines()]
    assert {language for language, *_ in rows} == set(LANGUAGES)
    assert {label for _, _, label, _ in rows} == set(LABELS.values())
    assert not {normalise(text) for *_, text in rows} & {normalise(sentence.text) for sentence in training}
