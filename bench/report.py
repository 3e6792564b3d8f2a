"""All benchmarks in a row, and the table of them in docs/performance.md.

run ─▶ docs/performance.json (each benchmark's last result, with its machine and day) ─▶ the part of docs/performance.md between the marks
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from core.errors import NotFound
from core.files import write_atomically

FOLDER = Path(__file__).resolve().parents[1] / "docs"
BEGIN, END = "<!-- made by make bench -->", "<!-- end of what make bench makes -->"


class BenchResult(msgspec.Struct, frozen=True):
    """What a benchmark said, where and when."""

    machine: str
    day: str
    figures: dict[str, Any]


def machine() -> str:
    """This machine in a few words."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    import torch

    has = torch.cpu.get_capabilities()
    known = ", ".join(name for name in ("amx_bf16", "avx512_bf16", "avx512_vnni") if has.get(name)) or "no bf16"
    return f"{os.cpu_count()} cores of {model} ({known}), Python {platform.python_version()}, torch {torch.__version__}"


def run(benchmarks: Mapping[str, Callable[[], Any]], only: Sequence[str], report: Callable[[str], None], folder: Path = FOLDER) -> None:
    """Run `only` (all when empty) and write what they say. Raises SettingsError for an unknown name, and what they raise."""
    unknown = [name for name in only if name not in benchmarks]
    if unknown:
        raise NotFound(f"there is no benchmark {unknown[0]}: {', '.join(benchmarks)}")
    for name in only or benchmarks:
        report(f"bench {name}")
        save_result(name, benchmarks[name](), folder)


def save_result(name: str, found: Any, folder: Path = FOLDER) -> None:
    """Write down what a benchmark said."""
    path = folder / "performance.json"
    results = msgspec.json.decode(path.read_bytes(), type=dict[str, BenchResult]) if path.exists() else {}
    results[name] = BenchResult(machine(), f"{datetime.now(UTC):%Y-%m-%d}", msgspec.to_builtins(found))
    write_atomically(path, msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    page = folder / "performance.md"
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    write_atomically(page, f"{before}{BEGIN}\n\n{tables(results)}\n{END}{after}".encode())


def tables(results: Mapping[str, BenchResult]) -> str:
    """Every result as Markdown."""
    parts = []
    for name, result in results.items():
        figures = {key: value for key, value in result.figures.items() if not isinstance(value, list)}
        parts.append(f"### `tocsin bench {name}`\n\n{result.day}, {result.machine}\n\n{_table([figures], upright=True)}")
        parts += [_lists(key, value) for key, value in result.figures.items() if isinstance(value, list)]
    return "\n".join(parts)


def _lists(key: str, rows: Sequence[Any]) -> str:
    """A list of records; a list within a record becomes a table of its own below."""
    if not (rows and isinstance(rows[0], dict)):
        return ""
    flat = [{name: value for name, value in row.items() if not _records(value)} for row in rows]
    text = f"{key}:\n\n{_table(flat)}"
    for row in rows:
        for name, value in row.items():
            if _records(value):
                first = next(iter(row.values()))
                text += f"\n{name} at {_format(first)}:\n\n{_table(value)}"
    return text


def _records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _table(rows: Sequence[Mapping[str, Any]], *, upright: bool = False) -> str:
    if upright:
        lines = ["| | |", "|---|---|", *(f"| {key} | {_format(value)} |" for key, value in rows[0].items())]
    else:
        names = list(rows[0])
        lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
        lines += ["| " + " | ".join(_format(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _format(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}"
    return ", ".join(map(_format, value)) if isinstance(value, list) else str(value)
