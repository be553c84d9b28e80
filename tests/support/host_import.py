"""A real ComfyUI on the CPU: imported into this process, or started as a program.

Tests call import_host() and then import comfy, nodes and the rest by their own names.
The server is started as ``python host_import.py main.py ARGUMENTS``, which is ComfyUI's own main.py
with the two operator definitions that a CPU build of torch lacks.
"""

from __future__ import annotations

import functools
import inspect
import os
import runpy
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from workbench import host_root

EXIT_WITH_PARENT_VARIABLE = "HSO_EXIT_WITH_PARENT"

_TORCHVISION_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

_kept_alive: list[object] = []


def define_missing_torchvision_ops() -> None:
    """Let torchvision be imported beside a torch it was not compiled for.

    The torchvision of PyPI is a CUDA build on Linux. Beside a CPU torch its compiled operators do not load, and its
    Python part then fails because it describes two of them. Their schemas are enough: ComfyUI never calls them.
    Where torchvision imports as it is, nothing is changed.
    """
    import torch

    if _torchvision_imports():
        return
    library = torch.library.Library("torchvision", "DEF")
    for schema in _TORCHVISION_SCHEMAS:
        library.define(schema)
    _kept_alive.append(library)  # the definitions end with the object
    _forget_half_imported("torchvision")


def _torchvision_imports() -> bool:
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        return False
    except ImportError:
        return True  # absent: that is for ComfyUI to report
    return True


def _forget_half_imported(package: str) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]


@functools.cache
def import_host() -> Path:
    """Make the modules of ComfyUI importable in this process, on the CPU; return the tree's folder.

    Its input, output and user folders are a temporary folder that goes when the process ends.
    """
    root = host_root()
    sys.path.insert(0, str(root))  # before the working directory: `nodes` must be ComfyUI's
    define_missing_torchvision_ops()
    _set_host_arguments()
    import utils.extra_config  # noqa: F401  as main.py does: later comfy/utils.py would be found under this name

    _show_all_progress()
    return root


def _show_all_progress() -> None:
    """Newer ones leave out what follows within a tenth of a second, at which tests look."""
    import comfy.utils

    comfy.utils.PROGRESS_THROTTLE_MIN_INTERVAL = 0.0


def with_hidden(node: Any, hidden: dict[str, Any] | None) -> Any:
    """The node class as the host executes it, with those hidden inputs, in which newer ones hold more than these."""
    newer = hidden is not None and "v3_data" in inspect.signature(node.PREPARE_CLASS_CLONE).parameters
    return node.PREPARE_CLASS_CLONE({"hidden_inputs": hidden} if newer else hidden)


def _set_host_arguments() -> None:
    from comfy.cli_args import args  # must be set before anything else of ComfyUI is imported

    folder = tempfile.TemporaryDirectory(prefix="hso-host-")
    _kept_alive.append(folder)
    args.cpu = True
    args.base_directory = folder.name


def launch(arguments: list[str]) -> None:
    """Run ComfyUI's ``arguments[0]`` (main.py) as a program with the remaining arguments."""
    if os.environ.get(EXIT_WITH_PARENT_VARIABLE):
        threading.Thread(target=_exit_when_input_closes, daemon=True).start()
    root = host_root()
    script = root / arguments[0]
    sys.argv = [str(script), *arguments[1:]]
    sys.path[0] = str(root)  # instead of this file's folder, as if main.py had been started itself
    define_missing_torchvision_ops()
    runpy.run_path(str(script), run_name="__main__")


def _exit_when_input_closes() -> None:
    """The parent holds the other end of standard input: it closes when the parent dies, however it dies."""
    while os.read(0, 1024):  # not sys.stdin, whose lock would be held when Python shuts down
        pass
    os._exit(0)


if __name__ == "__main__":
    launch(sys.argv[1:])
