"""`make soak SECONDS=1200 SEED=7`: runs the faults, reports progress, and prints the result as JSON on the last line."""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from tests.soak.cluster import Cluster
from tests.soak.embedded import EmbeddedUp
from tests.soak.nemesis import Nemesis

REPORT_INTERVAL_S = 10.0
PAUSE_S = (10.0, 40.0)
"""Between two faults of a kind; a worker needs about 10 s to load the shipped model."""


def print_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def soak(
    target: Cluster | EmbeddedUp,
    seconds: float,
    seed: int,
    *,
    pause_s: tuple[float, float] = PAUSE_S,
    only: Collection[str] = (),
    report: Callable[[str], None] = print_progress,
) -> dict[str, Any]:
    """Runs the faults of a seed.

    Args:
        target: the installation.
        seconds: duration of the faults.
        seed: decides which faults happen, and when.
        pause_s: range of pauses between two faults of a kind, seconds.
        only: names of the faults to use; all by default.
        report: receives progress lines.

    Returns:
        Counts, problems ("ok" if there are none) and memory.
    """
    memory: list[int] = []
    with target:
        began = time.monotonic()
        kinds = target.faults(random.Random(f"{seed} whom"))
        chosen = {kind: [fault for fault in faults if not only or fault.name in only] for kind, faults in kinds.items()}
        with Nemesis({kind: faults for kind, faults in chosen.items() if faults}, seed, report, pause_s) as nemesis:
            while time.monotonic() - began < seconds:
                threading.Event().wait(min(REPORT_INTERVAL_S, max(0.1, seconds - (time.monotonic() - began))))
                state = target.state()
                memory.append(max(state["rss_mb"]))
                report(f"{time.monotonic() - began:6.1f} s  {json.dumps(state)}")
        report("no more faults; waiting for the backlog")
        recovery_s = target.finish()
        memory += target.memory()
        problems = target.problems()
        summary = target.summary()
    third = max(1, len(memory) // 3)
    wrong = {name: count for name, count in problems.items() if count}
    if nemesis.failures:
        wrong["faults that could not be repaired"] = len(nemesis.failures)
    if max(memory) > target.max_rss_mb:
        wrong["memory over the limit"] = max(memory)
    return {
        "seed": seed,
        "seconds": seconds,
        "ok": not wrong,
        "wrong": wrong,
        **summary,
        "faults": dict(nemesis.made),
        "recovery_s": round(recovery_s, 1),
        "rss_mb_first_third": max(memory[:third]),
        "rss_mb_last_third": max(memory[-third:]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="duration of the faults (default: 300)")
    parser.add_argument("--seed", type=int, default=None, help="decides which faults happen, and when (default: random)")
    parser.add_argument("--seeds", type=int, default=1, help="number of runs, with consecutive seeds (default: 1)")
    parser.add_argument("--embedded", action="store_true", help="use `tocsin up`, killed completely and in parts")
    parser.add_argument("--model", default="shipped", help="setting `model` of the workers (default: shipped)")
    parser.add_argument("--rate", type=float, default=20.0, help="articles a second (default: 20)")
    parser.add_argument("--only", default="", help='use only these faults, such as "worker killed,worker stopped" (default: all)')
    parser.add_argument("--pause", type=float, nargs=2, default=PAUSE_S, help="range of seconds between two faults (default: 10 40)")
    parser.add_argument("--crises", type=int, default=None, help="number of crises (default: one per two minutes; not embedded)")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # of the clients: unavailable servers are expected
    first = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    good = True
    for seed in range(first, first + options.seeds):
        print_progress(f"soak: seed {seed}, {options.seconds:.0f} s")
        with tempfile.TemporaryDirectory(prefix="tocsin-soak-") as folder:
            target: Cluster | EmbeddedUp
            if options.embedded:
                target = EmbeddedUp(Path(folder), seed, options.seconds, model=options.model, rate=options.rate)
            else:
                target = Cluster(Path(folder), seed, options.seconds, model=options.model, rate=options.rate, crises=options.crises)
            only = [name.strip() for name in options.only.split(",") if name.strip()]
            result = soak(target, options.seconds, seed, pause_s=tuple(options.pause), only=only)
        print(json.dumps(result, ensure_ascii=False), flush=True)
        good = good and result["ok"]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
