"""Headline templates."""

from __future__ import annotations

import random

import pytest

from core.errors import ModelError
from core.taxonomy import TOPIC_KEYS
from models.templates import fill_templates, read_templates


def test_templates_are_complete_and_filled_deterministically():
    templates = read_templates()
    assert {t.sentiment for t in templates} == {"negative", "neutral", "positive"}
    assert {t.language for t in templates} == {"en", "zh"}
    assert {key for t in templates for key in t.topics} == set(TOPIC_KEYS)
    grown = fill_templates(templates, 2, random.Random(5))
    assert len(grown) == 2 * len(templates)
    assert grown == fill_templates(templates, 2, random.Random(5))
    assert not [seed.text for seed in grown if "{" in seed.text]


def test_the_error_for_a_malformed_template_names_the_line():
    with pytest.raises(ModelError, match="line 2"):
        read_templates("# head\nen\tnegative\tnonsense\ttext")
