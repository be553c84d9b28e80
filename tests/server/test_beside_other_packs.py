"""The entry `hso` in a real server beside a pack that replaces the scheduler lists."""

from __future__ import annotations

from typing import Any

import demo_prompts
import workbench
from comfy_server import ComfyServer

REBINDING = workbench.REPOSITORY / "tests" / "packs" / "rebinds_schedulers"


def scheduler_options(definition: list[Any]) -> list[str]:
    return definition[0] if isinstance(definition[0], list) else definition[1]["options"]


def test_the_entry_is_back_after_start_up_and_the_other_packs_entries_stay() -> None:
    """Mounted under two names, because ComfyUI loads packs in no particular order."""
    packs = {**workbench.node_packs(), "a-rebinding-pack": REBINDING, "z-rebinding-pack": REBINDING}
    weights = {workbench.WEIGHTS_VARIABLE: str(workbench.demo_weights()), "OMP_NUM_THREADS": "1"}
    with ComfyServer(packs, environment=weights) as server:
        ksampler = server.object_info("KSampler")["input"]["required"]["scheduler"]
        assert scheduler_options(ksampler) == ["simple", "karras", "hso"]
        picture = demo_prompts.sample(server, demo_prompts.ksampler_prompt("euler", "hso", 4, batch_size=1))
        assert bool(picture.isfinite().all()) and float(picture.std()) > 0.1
