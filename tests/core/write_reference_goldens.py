"""Write reference_goldens.json: what the scipy reference finds for N = 2..20 on every named schedule.

    python tests/core/write_reference_goldens.py [--jobs 2]

It takes an hour or so. What is in the file already is kept; delete the file, or lines of it, to compute them anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch  # noqa: E402

from hso_core import named_schedule, optimize_schedule  # noqa: E402

FILE = Path(__file__).with_name("reference_goldens.json")
SCHEDULES = ("sd15", "ddpm", "flow:3", "edm:0.002:80")
STEPS = range(2, 21)


def golden(case: tuple[str, int]) -> dict:
    name, steps = case
    torch.set_num_threads(1)
    found = optimize_schedule(named_schedule(name), steps, backend="scipy")
    return {
        "schedule": name,
        "steps": steps,
        "fitness": found.fitness,
        "objective": found.objective,
        "penalty": found.penalty,
        "psi": [found.rho, found.t_min, found.t_max],
        "timesteps": list(found.timesteps),
        "generations": found.generations,
        "seconds": round(found.elapsed_ms / 1000, 1),
    }


def write(rows: list[dict]) -> None:
    rows.sort(key=lambda row: (SCHEDULES.index(row["schedule"]), row["steps"]))
    FILE.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1)
    jobs = parser.parse_args().jobs
    rows = json.loads(FILE.read_text()) if FILE.exists() else []
    there = {(row["schedule"], row["steps"]) for row in rows}
    cases = [(name, steps) for steps in STEPS for name in SCHEDULES if (name, steps) not in there]
    with Pool(jobs) as pool:
        for row in pool.imap_unordered(golden, cases):
            rows.append(row)
            write(rows)
            print(f"{row['schedule']} N={row['steps']}: {row['fitness']:.8g} in {row['seconds']} s", flush=True)
