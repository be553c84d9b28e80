"""What a node does beside its result: the evaluations of its model, and what its progress bar shows.

Import host_import.import_host() first.
"""

from __future__ import annotations

from contextlib import contextmanager

import comfy.utils


@contextmanager
def evaluations_of(model):
    """The latents that pass through the network meanwhile, as a list of batches."""
    passed = []
    hook = model.model.diffusion_model.register_forward_hook(lambda _m, given, _out: passed.append(len(given[0])))
    try:
        yield passed
    finally:
        hook.remove()


@contextmanager
def progress(hook):
    """Call hook(value, total) when the progress bar moves."""
    comfy.utils.set_progress_bar_global_hook(lambda value, total, _preview, **_: hook(value, total))
    try:
        yield
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
