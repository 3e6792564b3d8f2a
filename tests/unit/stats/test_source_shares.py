"""The guard on sources: a source that differs from the others stands out, and neither chance nor size makes another one stand out."""

from __future__ import annotations

import random

import pytest

from stats.source_shares import MIN_ARTICLES, MIN_DIFFERENCE, ShareCount, compare_sources
from stats.wilson import difference


def outliers(*counts: tuple[str, int, int], language: str = "en") -> list[str]:
    """The sources that stand out among (source, articles, negative)."""
    return [share.source for share in compare_sources(ShareCount(name, language, n, bad) for name, n, bad in counts) if share.stands_out]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_source_whose_every_article_is_negative_stands_out(language: str):
    others = [("b", 400, 120), ("c", 300, 90), ("d", 50, 20)]
    assert outliers(("all", 40, 40), *others, language=language) == ["all"]
    assert outliers(("none", 100, 0), *others, language=language) == ["none"]


def test_small_samples_chance_and_small_differences_do_not():
    others = [("b", 400, 120), ("c", 300, 90)]
    assert outliers(("few", MIN_ARTICLES - 1, MIN_ARTICLES - 1), *others) == []
    assert outliers(("chance", 40, 21), *others) == [], "20 points more, and within the interval"
    assert outliers(("many", 100_000, 45_000), *others) == [], "15 points more, beyond chance"
    assert outliers(("a", 5, 5), ("b", 500, 10)) == [] and outliers(("a", 500, 10), ("b", 5, 5)) == []
    assert outliers(("alone", 500, 500)) == [] and outliers() == []


def test_a_large_outlier_does_not_make_the_others_stand_out():
    assert outliers(("large", 28_000, 24_000), ("b", 1_000, 370), ("c", 900, 350)) == ["large"]
    assert outliers(("a", 9_000, 8_900), ("b", 500, 490), ("c", 400, 120), ("d", 400, 130), ("e", 300, 100)) == ["a", "b"]


def test_of_two_sources_each_stands_out_from_the_other():
    assert outliers(("a", 200, 180), ("b", 200, 60)) == ["a", "b"]


def test_languages_are_compared_apart():
    counts = [
        ShareCount("wire", "en", 200, 190),
        ShareCount("wire", "zh", 200, 60),
        ShareCount("b", "en", 200, 60),
        ShareCount("b", "zh", 200, 66),
    ]
    found = {(share.source, share.language): share for share in compare_sources(counts)}
    assert [key for key, share in found.items() if share.stands_out] == [("b", "en"), ("wire", "en")]
    assert found["wire", "zh"].others == pytest.approx(0.33)


def test_sources_of_one_share_stand_out_in_few_of_many_samples():
    rng = random.Random(7)
    found = 0
    for _ in range(300):
        counts = [ShareCount(f"s{n}", "en", size := rng.randint(30, 400), sum(rng.random() < 0.35 for _ in range(size))) for n in range(8)]
        found += sum(share.stands_out for share in compare_sources(counts))
    assert found <= 3  # of 2,400 comparisons


def test_the_order_of_counts_does_not_matter():
    counts = [ShareCount("a", "zh", 90, 80), ShareCount("b", "zh", 400, 100), ShareCount("c", "zh", 300, 90), ShareCount("a", "en", 10, 1)]
    assert compare_sources(counts) == compare_sources(counts[::-1])


def test_the_interval_of_a_difference():
    """Newcombe (1998), table II, method 10: 56/70 against 48/80."""
    found = difference((56, 70), (48, 80))
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    assert difference((10, 10), (0, 10)).high == 1.0
    assert 0 < MIN_DIFFERENCE < 1
