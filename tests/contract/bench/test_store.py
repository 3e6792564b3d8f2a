"""The benchmark of the store, small, on a real server."""

from __future__ import annotations

from bench.store import measure
from dashboard.time_ranges import RANGES
from tests.helpers.servers import ClickHouseServer


def test_the_store_benchmark_runs(clickhouse_server: ClickHouseServer):  # asked for: where there is none, this is skipped
    found = measure(seed=300, sizes=(300, 900), repeats=1)
    assert [300 <= size.articles < 310 or 900 <= size.articles < 930 for size in found.sizes] == [True, True]
    assert found.sizes[1].mentions > 3 * found.sizes[1].articles
    names = {read.name for read in found.sizes[1].reads}
    assert names >= {f"{what} {key}" for key in RANGES for what in ("overview", "articles", "alerts")} | {"one alert", "newest article"}
    assert all(0 <= read.p50_ms <= read.p95_ms for size in found.sizes for read in size.reads)
    assert all(read.p50_ms > 0 for size in found.sizes for read in size.reads if read.name.startswith("overview"))
    assert found.insert_per_s > 0 < found.sizes[0].bytes_per_article
