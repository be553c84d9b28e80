"""Two small diffusion networks as ComfyUI MODELs, for the demonstration and the tests of this repository.

dev.py and the tests mount this folder as a node pack of its own; users never install it.
"""

from .nodes import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
