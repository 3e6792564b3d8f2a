"""Output of `make bench`: the latest result of each benchmark, and their tables in the generated part of a page."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.report import BEGIN, END, run, save_result
from core.errors import NotFound


class Read(msgspec.Struct):
    name: str
    p95_ms: float


class Size(msgspec.Struct):
    articles: int
    reads: list[Read]


class Found(msgspec.Struct):
    docs_per_s: float
    shares: list[int]
    sizes: list[Size]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "performance.md").write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\n## After 之后\n", encoding="utf-8")
    return tmp_path


def test_the_page_has_the_last_result_of_each_benchmark_between_the_markers(docs: Path):
    save_result("one", Found(1.5, [], []), docs)
    save_result("two", Found(1234.5, [3, 4], [Size(1_000_000, [Read("overview", 9.5)])]), docs)
    save_result("one", Found(2.5, [], []), docs)
    page = (docs / "performance.md").read_text(encoding="utf-8")
    assert page.startswith(f"# Before\n\n{BEGIN}\n") and page.endswith(f"{END}\n\n## After 之后\n")
    assert "old" not in page and "1.5 |" not in page
    assert "| docs_per_s | 2.5 |" in page and "| docs_per_s | 1,234.5 |" in page
    assert "| articles |\n|---|\n| 1,000,000 |" in page
    assert "reads at 1,000,000:\n\n| name | p95_ms |\n|---|---|\n| overview | 9.5 |" in page
    assert set(msgspec.json.decode((docs / "performance.json").read_bytes())) == {"one", "two"}


def test_only_named_benchmarks_run_and_an_unknown_name_runs_none(docs: Path):
    ran: list[str] = []

    def made(name: str) -> Found:
        ran.append(name)
        return Found(1.0, [], [])

    benchmarks = {name: lambda name=name: made(name) for name in ("one", "two")}
    run(benchmarks, ["two"], lambda _: None, docs)
    assert ran == ["two"]
    with pytest.raises(NotFound, match="unknown benchmark three; available: one, two"):
        run(benchmarks, ["one", "three"], lambda _: None, docs)
    assert ran == ["two"]
