"""All that the pack asks of ComfyUI: only this package touches its internals.

The rest of nodes/ uses the names below, as `host.name`, and comfy_api's `io` to define nodes.
"""

from __future__ import annotations

from .conditioning import conditioning_is_batch, is_plain, left_by_a_run, runs_of
from .errors import check_choice, named_errors
from .files import FOLDERS, may_keep_metadata, numbered_file, schedule_folder, schedule_folders, user_folder
from .guarded_sigmas import sigmas_output
from .latents import (
    batch_is_frames,
    first_latent,
    first_of,
    frames_of_video,
    is_empty,
    noise_of_seed,
    parts_of,
    video_of_frames,
)
from .memory import OUT_OF_MEMORY, batch_that_fits, free_memory, rounding
from .model import check_schedule, noise_schedule, noise_schedule_of_sampling, readable_noise_schedule
from .progress import CANCELLED, cancel, is_cancelled, progress_bar, stop_if_cancelled, tell_page
from .sampling import (
    SteppedSampler,
    guider,
    is_own_sampler,
    sample_with_sigmas,
    sampler,
    sampler_names,
    sampler_of,
    samplers_that_lose_a_step,
)
from .schedulers import add_scheduler, ksampler_sigmas, scheduler_names, scheduler_sigmas
from .sockets import (
    advanced,
    category_of,
    cfg_in,
    denoise_in,
    report_out,
    resampling_in,
    sampler_name_in,
    schema,
    sigma_in,
    sigmas_out,
    steps_in,
)
from .workflow import blocked, on_prompt, origin, short_name

__all__ = [
    "CANCELLED",
    "FOLDERS",
    "OUT_OF_MEMORY",
    "SteppedSampler",
    "add_scheduler",
    "advanced",
    "batch_is_frames",
    "batch_that_fits",
    "blocked",
    "cancel",
    "cfg_in",
    "category_of",
    "check_choice",
    "check_schedule",
    "conditioning_is_batch",
    "denoise_in",
    "first_latent",
    "first_of",
    "frames_of_video",
    "free_memory",
    "guider",
    "is_cancelled",
    "is_empty",
    "is_own_sampler",
    "is_plain",
    "ksampler_sigmas",
    "left_by_a_run",
    "may_keep_metadata",
    "named_errors",
    "noise_of_seed",
    "noise_schedule",
    "noise_schedule_of_sampling",
    "numbered_file",
    "on_prompt",
    "origin",
    "parts_of",
    "progress_bar",
    "readable_noise_schedule",
    "report_out",
    "resampling_in",
    "rounding",
    "runs_of",
    "sample_with_sigmas",
    "sampler",
    "sampler_name_in",
    "sampler_names",
    "sampler_of",
    "samplers_that_lose_a_step",
    "schedule_folder",
    "schedule_folders",
    "scheduler_names",
    "scheduler_sigmas",
    "schema",
    "short_name",
    "sigma_in",
    "sigmas_out",
    "sigmas_output",
    "steps_in",
    "stop_if_cancelled",
    "tell_page",
    "user_folder",
    "video_of_frames",
]
