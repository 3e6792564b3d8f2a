"""`make soak SECONDS=1200 SEED=7`: the run, its progress, and the verdict as the last line, in JSON."""

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

LOOK_S = 10.0
PAUSE_S = (10.0, 40.0)
"""Between two faults of a kind: a worker needs some 10 s to load the shipped model."""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def soak(
    under: Cluster | EmbeddedUp,
    seconds: float,
    seed: int,
    *,
    pause_s: tuple[float, float] = PAUSE_S,
    only: Collection[str] = (),
    tell: Callable[[str], None] = say,
) -> dict[str, Any]:
    """Run the faults of `seed` on it for so long; what was published, what went wrong, how it took it. only: faults of these names"""
    memory: list[int] = []
    with under:
        began = time.monotonic()
        kinds = under.faults(random.Random(f"{seed} whom"))
        wanted = {kind: [fault for fault in faults if not only or fault.name in only] for kind, faults in kinds.items()}
        with Nemesis({kind: faults for kind, faults in wanted.items() if faults}, seed, tell, pause_s) as nemesis:
            while time.monotonic() - began < seconds:
                threading.Event().wait(min(LOOK_S, max(0.1, seconds - (time.monotonic() - began))))
                state = under.state()
                memory.append(max(state["rss_mb"]))
                tell(f"{time.monotonic() - began:6.1f} s  {json.dumps(state)}")
        tell("no more faults: what is left is worked off")
        recovery_s = under.finish()
        memory += under.memory()
        problems = under.problems()
        summary = under.summary()
    third = max(1, len(memory) // 3)
    wrong = {name: count for name, count in problems.items() if count}
    if nemesis.failures:
        wrong["faults that could not be mended"] = len(nemesis.failures)
    if max(memory) > under.max_rss_mb:
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
    parser.add_argument("--seconds", type=float, default=300.0, help="how long faults are made (default: 300)")
    parser.add_argument("--seed", type=int, default=None, help="what goes wrong, and when (default: a new one)")
    parser.add_argument("--seeds", type=int, default=1, help="so many runs, with this seed and the next ones (default: 1)")
    parser.add_argument("--embedded", action="store_true", help="`tocsin up`, killed whole and in parts")
    parser.add_argument("--model", default="shipped", help="setting `model` of the workers (default: shipped)")
    parser.add_argument("--rate", type=float, default=20.0, help="articles a second (default: 20)")
    parser.add_argument(
        "--only", default="", help='faults of these names alone, such as "worker killed,worker told to stop" (default: all)'
    )
    parser.add_argument("--pause", type=float, nargs=2, default=PAUSE_S, help="seconds between two faults, from and to (default: 10 40)")
    parser.add_argument("--crises", type=int, default=None, help="how many crises should ring (default: one in two minutes; not embedded)")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # of the clients: that servers go away is the point
    first = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    good = True
    for seed in range(first, first + options.seeds):
        say(f"soak: seed {seed}, {options.seconds:.0f} s")
        with tempfile.TemporaryDirectory(prefix="tocsin-soak-") as folder:
            under: Cluster | EmbeddedUp
            if options.embedded:
                under = EmbeddedUp(Path(folder), seed, options.seconds, model=options.model, rate=options.rate)
            else:
                under = Cluster(Path(folder), seed, options.seconds, model=options.model, rate=options.rate, crises=options.crises)
            only = [name.strip() for name in options.only.split(",") if name.strip()]
            verdict = soak(under, options.seconds, seed, pause_s=tuple(options.pause), only=only)
        print(json.dumps(verdict, ensure_ascii=False), flush=True)
        good = good and verdict["ok"]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
