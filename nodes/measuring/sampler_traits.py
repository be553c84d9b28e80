"""What a SAMPLER does with a schedule: whether it follows it, draws random numbers, and what it converges to."""

from __future__ import annotations

import torch
from torch import Tensor

from ...hso_core.calibration.reference import reference_sigmas
from .. import host
from ..sampling.notes import OWN_STEPS, name_of
from .run import SamplingRun

# tests/host/test_sampling_run.py runs every sampler of the host and holds these lists against what they do.

CONVERGE_TO_THE_FLOW = frozenset(
    {
        "euler", "heun", "heunpp2", "exp_heun_2_x0", "dpm_2", "lms", "dpmpp_2m", "ipndm", "ipndm_v", "deis",
        "res_multistep", "gradient_estimation", "ddim", "uni_pc", "uni_pc_bh2",
    }
)  # fmt: skip
"""Solve the plain probability-flow ODE: with many steps all of them give the same picture."""

CONVERGE_ELSEWHERE = frozenset(
    {"euler_cfg_pp", "dpmpp_2m_cfg_pp", "res_multistep_cfg_pp", "gradient_estimation_cfg_pp"}
)
"""Draw no random numbers, but have a limit of their own."""

RANDOM = {
    "euler_ancestral": "euler",
    "euler_ancestral_cfg_pp": "euler_cfg_pp",
    "dpm_2_ancestral": "dpm_2",
    "dpmpp_2s_ancestral": "heun",
    "dpmpp_2s_ancestral_cfg_pp": "dpmpp_2m_cfg_pp",
    "dpmpp_sde": "dpmpp_2m",
    "dpmpp_sde_gpu": "dpmpp_2m",
    "dpmpp_2m_sde": "dpmpp_2m",
    "dpmpp_2m_sde_gpu": "dpmpp_2m",
    "dpmpp_2m_sde_heun": "dpmpp_2m",
    "dpmpp_2m_sde_heun_gpu": "dpmpp_2m",
    "dpmpp_3m_sde": "dpmpp_2m",
    "dpmpp_3m_sde_gpu": "dpmpp_2m",
    "ddpm": "ddim",
    "lcm": "euler",
    "res_multistep_ancestral": "res_multistep",
    "res_multistep_ancestral_cfg_pp": "res_multistep_cfg_pp",
    "er_sde": "dpmpp_2m",
    "exp_heun_2_x0_sde": "exp_heun_2_x0",
    "seeds_2": "dpmpp_2m",
    "seeds_3": "uni_pc",
    "sa_solver": "uni_pc",
    "sa_solver_pece": "uni_pc",
}
"""Samplers that draw noise in every step, each with a relative that does not."""

REFERENCE = "uni_pc"
"""The nearest to the limit of CONVERGE_TO_THE_FLOW at equal evaluations: median RMSE at 30 and 60 evaluations on the
demonstration network with exponential 0.0012, 0.0010 (dpmpp_2m 0.0023, 0.0004; heun 0.014, 0.004), with a guidance that
makes it stiff 0.0015, 0.0014 (dpmpp_2m 0.011, 0.0026; heun 0.036, 0.009). Its floor of 0.001 is the sigma it stops at.
"""

TRIAL_SEED, TRIAL_STEPS = 0, 4


class SamplerError(ValueError):
    """A sampler that has no best schedule, or none that could be found; the message says why."""


def check_sampler(run: SamplingRun) -> None:
    """Refuse a sampler that draws random numbers or chooses its own steps. Raises SamplerError.

    A sampler that ComfyUI's list does not have, or one with options, is tried out in three short runs.
    """
    name, options = name_of(run.sampler), getattr(run.sampler, "extra_options", None)
    if name in OWN_STEPS:
        raise SamplerError(f"the sampler {name} chooses its own steps and ignores every schedule; use another sampler")
    if not options:
        if name in RANDOM:
            raise SamplerError(_random(name))
        if name in CONVERGE_TO_THE_FLOW | CONVERGE_ELSEWHERE:
            return
    _try_out(run, name, reference_sigmas(host.noise_schedule(run.guider.model_patcher), TRIAL_STEPS))


def reference_for(run: SamplingRun) -> SamplingRun:
    """The run that gives the converged picture with fewest steps: of REFERENCE where the limit is the same."""
    if name_of(run.sampler) not in CONVERGE_TO_THE_FLOW:
        return run
    reference = host.sampler(REFERENCE)
    if run.mask is not None:
        reference.inpaint_options = getattr(run.sampler, "inpaint_options", {})  # ddim's noise there
    return run.with_sampler(reference)


def _try_out(run: SamplingRun, name: str, trial: Tensor) -> None:
    once = run(trial, [TRIAL_SEED]).latents
    if not _same(once, run.with_other_randomness(trial, TRIAL_SEED)):
        raise SamplerError(_random(name))
    moved = trial.clone()
    moved[1:-1] *= 0.9
    if _same(once, run(moved, [TRIAL_SEED]).latents):
        raise SamplerError(f"the sampler {name} gives the same picture whatever the schedule; use another sampler")


def _same(a: Tensor, b: Tensor) -> bool:
    """Equal but for rounding, which GPUs do not repeat exactly."""
    return bool(torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max())))


def _random(name: str) -> str:
    relative = RANDOM.get(name, "dpmpp_2m")
    return (
        f"the sampler {name} adds random noise in its steps, so there is no one picture that a better schedule comes "
        f"closer to; use a sampler without it, for example {relative}"
    )
