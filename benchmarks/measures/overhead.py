"""What calibration costs beside the network's own time.

    .venv/bin/python -m benchmarks.measures.overhead [--milliseconds 50] [--budget quick]

Runs Calibrate Sigmas on the demonstration network in a ComfyUI in this process, on the CPU. The network is made as
slow as a large one by waiting inside it; its time is measured there, all the rest is overhead.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from typing import Any, NamedTuple

import torch

import galaxies
import host_import

from .. import REPOSITORY

STEPS, SAMPLER = 5, "dpmpp_2m"
SECONDS = 0.05  # of the network for one latent
BUDGET = "quick"


class Overhead(NamedTuple):
    """Latents that the network was run on, and seconds: inside it, and of the whole calibration."""

    latents: int
    inside: float
    total: float

    @property
    def share(self) -> float:
        """What is not the network's, as a share of the network's."""
        return self.total / self.inside - 1


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


def calibrate_node() -> Any:
    """The class of Calibrate Sigmas, in a ComfyUI in this process."""
    host_import.import_host()
    import nodes as core_nodes

    assert asyncio.run(core_nodes.load_custom_node(str(REPOSITORY)))
    return core_nodes.NODE_CLASS_MAPPINGS["HSOCalibrateSchedule"]


def overhead(node: Any, seconds: float = SECONDS, budget: str = BUDGET) -> Overhead:
    """One run of the node with nothing remembered, on a network that takes at least so long for each latent."""
    import folder_paths

    model, prompt = galaxies.galaxy_model(), galaxies.conditioning()
    watch = Stopwatch(model.model.diffusion_model, seconds)
    user_folder = folder_paths.get_user_directory()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as empty, torch.inference_mode():
        folder_paths.set_user_directory(empty)
        try:
            node.execute(
                steps=STEPS,
                cfg=1.0,
                sampler_name=SAMPLER,
                budget=budget,
                seed=0,
                remembered="reuse",
                latent_image=galaxies.galaxy_latent(),
                model=model,
                positive=prompt,
                negative=prompt,
            )
        finally:
            folder_paths.set_user_directory(user_folder)
    return Overhead(watch.latents, watch.inside, time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milliseconds", type=float, default=1000 * SECONDS, help="of the network for one latent")
    parser.add_argument("--budget", default=BUDGET)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = overhead(calibrate_node(), options.milliseconds / 1000, options.budget)
    print(
        f"{found.latents} evaluations of {options.milliseconds:.0f} ms: {found.total:.1f} s, of which "
        f"{found.inside:.1f} s in the network; overhead {100 * found.share:.1f} %"
    )


if __name__ == "__main__":
    main()
