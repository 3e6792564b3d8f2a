"""Outage alerts on real archives whose gaps are known. Skips without the development data."""

from __future__ import annotations

import pytest

from bench.outage import measure
from stream.detection.outage import OutageRule
from tests.helpers.shared_data import shared_dir

GAPS = {
    "en_rss_2023": ("2023-07-29", "2023-09-21", "2023-10-09", "2023-10-17", "2023-11-29"),
    "zh_flash_2026": ("2026-06-09", "2026-06-18", "2026-06-23", "2026-07-09", "2026-07-13"),
}
"""The days after which nothing was collected for one to three days."""
WITHIN_H = {"en_rss_2023": 6.0, "zh_flash_2026": 1.0}


@pytest.mark.parametrize("archive", GAPS)
def test_known_gaps_raise_market_alerts_and_false_alerts_are_rare(archive: str):
    found = measure(shared_dir() / "data" / "stream" / f"{archive}.jsonl.gz", OutageRule(), outages=4, seed=7)
    assert found.false_per_week <= 0.4
    days = {text.split()[1] for text in found.alarms if text.startswith("market:all")}
    assert set(GAPS[archive]) <= days
    whole, *sources = found.injected
    assert (whole.series, whole.noticed) == ("market:all", 1.0)
    assert whole.delay_p50 is not None and whole.delay_p50 < WITHIN_H[archive]
    assert all(one.noticed >= 0.75 for one in sources if one.a_day > 20)
