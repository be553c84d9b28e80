"""Where the development files lie: the repository, the ComfyUI tree to test with, the demonstration network's weights.

Standard library only: dev.py reads it with a bare Python.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
WORK_FOLDER = REPOSITORY / ".host"
DEFAULT_HOST = WORK_FOLDER / "ComfyUI-0.3.75"
DEFAULT_WEIGHTS = WORK_FOLDER / "eqx_hsc_ScoreNet32.eqx"

NEW_FRONTEND = WORK_FOLDER / "frontend-1.58.1"  # ComfyUI's page as it is today; the pinned one is in .venv

HOST_VARIABLE = "HSO_COMFYUI"
WEIGHTS_VARIABLE = "HSO_DEMO_WEIGHTS"
CHROMIUM_VARIABLE = "HSO_CHROMIUM"


class HostMissing(RuntimeError):
    """There is no ComfyUI at the place that was asked for."""


def host_root() -> Path:
    """Folder of the ComfyUI tree in use: the one named by HSO_COMFYUI, else the one that dev.py downloads."""
    named = os.environ.get(HOST_VARIABLE)
    root = Path(named).expanduser().resolve() if named else DEFAULT_HOST
    if not (root / "main.py").is_file() or not (root / "comfy").is_dir():
        advice = f"set {HOST_VARIABLE} to a ComfyUI folder" if named else "run 'python3 dev.py setup' first"
        raise HostMissing(f"There is no ComfyUI in {root}: {advice}.")
    return root


def demo_weights() -> Path:
    """File of the demonstration network: the one named by HSO_DEMO_WEIGHTS, else the one that dev.py downloads."""
    return Path(os.environ.get(WEIGHTS_VARIABLE) or DEFAULT_WEIGHTS)


def chromium() -> Path | None:
    """The browser to test with: the one named by HSO_CHROMIUM, else the one on the PATH; None where there is none."""
    named = os.environ.get(CHROMIUM_VARIABLE)
    found = named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return Path(found) if found and Path(found).is_file() else None


def node_packs() -> dict[str, Path]:
    """The node packs to mount in a server: folder name under custom_nodes -> folder."""
    packs = {"hso-schedule": REPOSITORY, "hso-demo": REPOSITORY / "demo"}
    return {name: folder for name, folder in packs.items() if (folder / "__init__.py").is_file()}
