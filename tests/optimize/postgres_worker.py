"""One of several processes on a shared study: ``python postgres_worker.py ADDRESS POOL JOURNAL NUMBER WANTED``."""

from __future__ import annotations

import os
import sys
import time
from functools import partial

from matgen.optimize import optimize


def slow(items, journal):
    rows = []
    for item in items:
        with open(journal, "a") as file:
            file.write(f"begin {item['material_id']} {os.getpid()}\n")
        time.sleep(0.15)
        with open(journal, "a") as file:
            file.write(f"end {item['material_id']} {os.getpid()}\n")
        rows.append({"count": float(sum(item["numbers"]))})
    return rows


if __name__ == "__main__":
    address, pool, journal, number, wanted = sys.argv[1:]
    optimize(
        {"pool": {"source": pool, "coordinates": "elements"}},
        partial(slow, journal=journal),
        [{"property": "count"}],
        sampler="random",
        evaluations=int(wanted),
        batch=2,
        storage=address,
        worker=int(number),
        heartbeat=1,
    )
