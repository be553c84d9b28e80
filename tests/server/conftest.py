"""One real ComfyUI server for all tests of this folder, with both node packs mounted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import workbench
from comfy_server import ComfyServer


@pytest.fixture(scope="session")
def server() -> Iterator[ComfyServer]:
    """A running server with the pack (`hso-schedule`) and the demonstration pack (`hso-demo`), previews switched on."""
    with ComfyServer(
        workbench.node_packs(),
        extra_arguments=["--preview-method", "latent2rgb"],
        environment={
            workbench.WEIGHTS_VARIABLE: str(workbench.demo_weights()),
            "OMP_NUM_THREADS": "1",  # the network is tiny, and torch's threads spin when the cores are shared
        },
    ) as running:
        yield running
