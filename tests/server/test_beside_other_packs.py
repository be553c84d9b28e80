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


def names_of_schedulers(server: ComfyServer) -> list[str]:
    return scheduler_options(server.object_info("KSampler")["input"]["required"]["scheduler"])


def test_a_pack_with_our_names_and_one_that_rebinds_after_start_up_cost_nobody_anything() -> None:
    """Whichever registers `hso` first keeps it, the other is told; the lists hold it once; our nodes work."""
    folder = workbench.REPOSITORY / "tests" / "packs"
    packs = {
        **workbench.node_packs(),
        "a-same-names": folder / "same_names",
        "z-rebinds-late": folder / "rebinds_late",
    }
    weights = {workbench.WEIGHTS_VARIABLE: str(workbench.demo_weights()), "OMP_NUM_THREADS": "1"}
    with ComfyServer(packs, environment=weights) as server:
        names = names_of_schedulers(server)
        assert names.count("hso") == 1 and "theirs" in names and names[0] == "simple"
        kept = "HSO: another pack has a scheduler named 'hso'; it stays, and HSO adds none." in server.log()
        refused = "the scheduler name hso is taken" in server.log()
        assert kept != refused
        for scheduler in ("hso", "theirs"):
            picture = demo_prompts.sample(server, demo_prompts.ksampler_prompt("euler", scheduler, 4, batch_size=1))
            assert bool(picture.isfinite().all()) and float(picture.std()) > 0.1
        ours = demo_prompts.hso_ksampler_prompt(demo_prompts.optimize_schedule(4), batch_size=1)
        assert float(demo_prompts.sample(server, ours).std()) > 0.1
