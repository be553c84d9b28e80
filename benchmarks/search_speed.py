"""How long the search takes: torch beside the scipy reference, in one run on one machine.

    python benchmarks/search_speed.py [--schedule sd15] [--steps 4 5 6 7 8 9 10] [--no-scipy]

Prints a Markdown table. Times are medians; the machine's other work is in them.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

import torch  # noqa: E402

from hso_core import Settings, named_schedule, optimize_schedule  # noqa: E402
from hso_core.method.problem import Problem  # noqa: E402
from hso_core.method.trust_region import minimise_midpoint_error  # noqa: E402


def milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begun)


def search(name: str, steps: int, backend: str, seeds: range) -> float:
    """Median duration of a search in ms; every seed is a search of its own, so nothing is remembered."""
    noise = named_schedule(name)

    def once(seed: int) -> float:
        return milliseconds(lambda: optimize_schedule(noise, steps, Settings(seed=seed), backend))

    return statistics.median(map(once, seeds))


def compare_with_scipy(name: str, steps: list[int], with_scipy: bool) -> None:
    optimize_schedule(named_schedule(name), 5, Settings(seed=1))  # the first call pays for torch's own start
    print(f"\n### One schedule ({name})\n\n| steps | torch, ms | scipy reference, ms | ratio |\n|---|---|---|---|")
    for n in steps:
        fast = search(name, n, "torch", range(100, 120))
        if with_scipy:
            slow = search(name, n, "scipy", range(1))
            print(f"| {n} | {fast:.1f} | {slow:.0f} | {slow / fast:.0f} |", flush=True)
        else:
            print(f"| {n} | {fast:.1f} | - | - |", flush=True)


def all_step_counts(name: str) -> None:
    noise, settings = named_schedule(name), Settings(seed=200)
    whole = milliseconds(lambda: [optimize_schedule(noise, n, settings) for n in range(2, 51)])
    remembered = milliseconds(lambda: optimize_schedule(named_schedule(name), 7, settings))
    print(
        f"\nAll of N = 2..50 for one model ({name}): {whole / 1000:.2f} s. A remembered schedule: {remembered:.2f} ms."
    )


IMPORT_CORE = "import time, torch; t = time.perf_counter(); import hso_core; print(time.perf_counter() - t)"
IMPORT_PACK = """
import asyncio, sys, time
sys.path.insert(0, "tests/support")
import host_import
host_import.import_host()
import nodes, server
t = time.perf_counter()
assert asyncio.run(nodes.load_custom_node("."))
print(time.perf_counter() - t)
"""


def import_times() -> None:
    for what, code, flags in (
        ("hso_core where torch is loaded", IMPORT_CORE, []),
        ("the pack in a ComfyUI that is loaded", IMPORT_PACK, ["-P"]),
    ):
        runs = [
            subprocess.run([sys.executable, *flags, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
            for _ in range(5)
        ]
        if any(run.returncode for run in runs):
            print(f"Importing {what}: not measured, it needs `python3 dev.py setup` and its .venv.")
        else:
            seconds = statistics.median(float(run.stdout.splitlines()[-1]) for run in runs)
            print(f"Importing {what}: {seconds:.3f} s.")


def refinement_on_devices(name: str) -> None:
    """The lower level alone, for populations of many sizes."""
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    print(f"\n### The lower level alone, 8 steps ({name})\n")
    print(f"| schedules at once | {' | '.join(d + ', ms' for d in devices)} |")
    print("|---" * (len(devices) + 1) + "|")
    problem = Problem(named_schedule(name), 8, Settings())
    low, width = problem.bounds[:, :1], problem.bounds.diff(dim=1)
    generator = torch.Generator().manual_seed(0)
    for size in (60, 600, 6_000, 60_000):
        psi = low + width * torch.rand(3, size, generator=generator, dtype=torch.float64)
        times = []
        for device in devices:
            start = problem.starts(psi.to(device))

            def refine(start: torch.Tensor = start) -> None:
                minimise_midpoint_error(start, 2.0, 2)
                if start.is_cuda:
                    torch.cuda.synchronize()

            refine()
            times.append(statistics.median(milliseconds(refine) for _ in range(5)))
        print(f"| {size} | {' | '.join(f'{t:.1f}' for t in times)} |")
    if len(devices) == 1:
        print("\nNo CUDA GPU on this machine: not measured there.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedule", default="sd15")
    parser.add_argument("--steps", type=int, nargs="+", default=list(range(4, 11)))
    parser.add_argument("--no-scipy", action="store_true", help="leave the reference out (it takes minutes)")
    options = parser.parse_args()
    print(
        f"{datetime.date.today()}, {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    compare_with_scipy(options.schedule, options.steps, not options.no_scipy)
    all_step_counts(options.schedule)
    refinement_on_devices(options.schedule)
    print()
    import_times()


if __name__ == "__main__":
    main()
