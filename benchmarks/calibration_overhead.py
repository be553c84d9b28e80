"""What calibration costs beside the network's own time.

    .venv/bin/python -P benchmarks/calibration_overhead.py [--milliseconds 50] [--budget quick]

Runs Calibrate Schedule on the demonstration network in a ComfyUI in this process, on the CPU. The network is made as
slow as a large one by waiting inside it; its time is measured there, all the rest is overhead.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import host_import  # noqa: E402

host_import.import_host()

import folder_paths  # noqa: E402
import nodes as core_nodes  # noqa: E402
import torch  # noqa: E402

import galaxies  # noqa: E402

STEPS, SAMPLER = 5, "dpmpp_2m"


class Stopwatch:
    """Makes every call of a network last as long as asked for each latent, and adds up the time."""

    def __init__(self, network: torch.nn.Module, seconds: float) -> None:
        self.seconds = seconds
        self.inside = 0.0
        self.latents = 0
        self._forward = network.forward
        network.forward = self._slow

    def _slow(self, x: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
        begun = time.perf_counter()
        result = self._forward(x, *arguments, **named)
        time.sleep(max(0.0, self.seconds * len(x) - (time.perf_counter() - begun)))
        self.inside += time.perf_counter() - begun
        self.latents += len(x)
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milliseconds", type=float, default=50.0, help="of the network for one latent")
    parser.add_argument("--budget", default="quick")
    options = parser.parse_args()
    torch.set_num_threads(1)
    assert asyncio.run(core_nodes.load_custom_node(str(REPOSITORY)))
    model, prompt = galaxies.galaxy_model(), galaxies.conditioning()
    watch = Stopwatch(model.model.diffusion_model, options.milliseconds / 1000)
    calibrate = core_nodes.NODE_CLASS_MAPPINGS["HSOCalibrateSchedule"]
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as empty, torch.inference_mode():
        folder_paths.set_user_directory(empty)  # where nothing is remembered
        calibrate.execute(
            steps=STEPS,
            cfg=1.0,
            sampler_name=SAMPLER,
            budget=options.budget,
            seed=0,
            remembered="reuse",
            latent_image=galaxies.galaxy_latent(),
            model=model,
            positive=prompt,
            negative=prompt,
        )
    total = time.perf_counter() - begun
    print(
        f"{watch.latents} evaluations of {options.milliseconds:.0f} ms: {total:.1f} s, of which {watch.inside:.1f} s "
        f"in the network; overhead {100 * (total / watch.inside - 1):.1f} %"
    )


if __name__ == "__main__":
    main()
