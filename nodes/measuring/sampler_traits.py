"""What a SAMPLER does with a schedule: whether it follows it, draws random numbers, and what it converges to."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ...hso_core.calibration.reference import reference_sigmas
from ...hso_core.solvers import known_solver
from .. import host
from ..sampling.fitted_sampler import sample_fitted, solver_of
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

CFG_PP = {
    "euler_cfg_pp": "euler",
    "dpmpp_2m_cfg_pp": "dpmpp_2m",
    "res_multistep_cfg_pp": "res_multistep",
    "gradient_estimation_cfg_pp": "gradient_estimation",
}
"""Converge to nothing, each with a relative that does: the guidance that they add in a step does not go with its size,
so that with more steps it is added more often."""

RANDOM = {
    "euler_ancestral": "euler",
    "euler_ancestral_cfg_pp": "euler",
    "dpm_2_ancestral": "dpm_2",
    "dpmpp_2s_ancestral": "heun",
    "dpmpp_2s_ancestral_cfg_pp": "dpmpp_2m",
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
    "res_multistep_ancestral_cfg_pp": "res_multistep",
    "er_sde": "dpmpp_2m",
    "exp_heun_2_x0_sde": "exp_heun_2_x0",
    "seeds_2": "dpmpp_2m",
    "seeds_3": "uni_pc",
    "sa_solver": "uni_pc",
    "sa_solver_pece": "uni_pc",
}
"""Samplers that draw noise in every step, each with a relative that does not."""

REFERENCE = "dpmpp_3m"
"""What runs the reference, with the limit of CONVERGE_TO_THE_FLOW: of the solvers that take one evaluation a step, the
nearest to that limit on most networks at equal evaluations (docs/fitted_samplers.md, "The reference as a trajectory").
"""

TRIAL_SEEDS, TRIAL_STEPS = (0, 1), 4


class SamplerError(ValueError):
    """A sampler that has no best schedule, or none that could be found; the message says why."""


def check_sampler(run: SamplingRun) -> int:
    """Refuse a sampler that draws random numbers, chooses its own steps or converges to nothing. Raises SamplerError.

    Returns the evaluations that a step of its reference takes.

    What ComfyUI's own samplers do is known. One with options is tried out in three short runs; and one that is not
    ComfyUI's in two more, of twice and four times as many steps, each of which must change the picture less.
    """
    if solver_of(run.sampler):
        raise SamplerError(
            "a fitted sampler belongs to its own schedule and has no other to be measured with; to compare it with "
            "others, connect it to sampler_1 of Compare Schedulers (HSO)"
        )
    name, options = name_of(run.sampler), getattr(run.sampler, "extra_options", None)
    own = host.is_own_sampler(run.sampler)
    if name in OWN_STEPS:
        raise SamplerError(f"the sampler {name} chooses its own steps and ignores every schedule; use another sampler")
    if own and not options and name in RANDOM:
        raise SamplerError(_random(name))
    if _is_cfg_pp(name):
        raise SamplerError(_endless(name))
    known = own and (name in CONVERGE_TO_THE_FLOW or name in RANDOM)
    run.prepare()
    evaluations = _Trial(run, name).check(converges=known) if options or not known else 1
    return evaluations if reference_for(run) is run else 1


def reference_for(run: SamplingRun) -> SamplingRun:
    """The run that gives the converged picture with fewest steps: with REFERENCE where the limit is the same."""
    if not shares_its_limit(run.sampler):
        return run
    reference = host.sampler_of(sample_dpmpp_3m)
    if run.mask is not None:
        reference.inpaint_options = getattr(run.sampler, "inpaint_options", {})  # ddim's noise there
    return run.with_sampler(reference)


def sample_dpmpp_3m(model: Any, x: Tensor, sigmas: Tensor, **options: Any) -> Tensor:
    """A sampler function of ComfyUI's kind: DPM-Solver++ (3M), of which ComfyUI has only the kind that draws noise."""
    solver = known_solver(REFERENCE, sigmas, host.noise_schedule(model.inner_model.model_patcher))
    return sample_fitted(model, x, sigmas, **options, solver=solver)


def shares_its_limit(sampler: Any) -> bool:
    """Whether a SAMPLER comes to the same picture, with ever more steps, as all others of which this is true."""
    return solver_of(sampler) is not None or (host.is_own_sampler(sampler) and name_of(sampler) in CONVERGE_TO_THE_FLOW)


class _Trial:
    """A sampler of which nothing is known, in a few short runs."""

    def __init__(self, run: SamplingRun, name: str) -> None:
        self._run, self._name = run, name
        self._noise = host.noise_schedule(run.guider.model_patcher)

    def check(self, converges: bool) -> int:
        """Returns the evaluations that a step takes. converges: that it does is known."""
        schedule, first = reference_sigmas(self._noise, TRIAL_STEPS), TRIAL_SEEDS[0]
        once, asked = self._asked(schedule)
        if not _same(once, self._run.with_other_randomness(schedule, first)):
            raise SamplerError(_random(self._name))
        # Its ends stay: samplers that choose their own steps take these from it. By the levels that it asks the model
        # for, since the pictures of two schedules may be alike just because the sampler is accurate.
        moved = schedule.clone()
        moved[1:-2] = (schedule[1:-2] * schedule[2:-1]).sqrt()
        asked_then = self._asked(moved)[1]
        if asked.shape == asked_then.shape and asked.allclose(asked_then, rtol=1e-3, atol=0):
            raise SamplerError(
                f"the sampler {self._name} gives the same picture whatever the schedule; use another sampler"
            )
        # A single seed may come to another picture with more steps.
        if not converges and not self._settles(first, once) and not self._settles(TRIAL_SEEDS[1]):
            raise SamplerError(_endless(self._name))
        return math.ceil(len(asked) / TRIAL_STEPS)

    def _asked(self, sigmas: Tensor) -> tuple[Tensor, Tensor]:
        """The latents of the first seed, and the noise levels at which the model was asked on the way."""
        levels: list[float] = []
        result = self._run(sigmas, TRIAL_SEEDS[:1], observe=lambda sigma, *_: levels.append(sigma))
        return result.latents, torch.tensor(levels, dtype=torch.float32, device="cpu")

    def _settles(self, seed: int, coarse: Tensor | None = None) -> bool:
        """Whether from 2 N to 4 N steps a picture changes less than from N, which is `coarse`, to 2 N."""
        steps = [TRIAL_STEPS * times for times in (1, 2, 4)][0 if coarse is None else 1 :]
        made = [self._run(reference_sigmas(self._noise, count), [seed]).latents for count in steps]
        one, two, four = made if coarse is None else (coarse, *made)
        if not bool(four.isfinite().all()):
            return True  # that is told elsewhere
        return _same(two, four) or bool((four - two).square().mean() < (two - one).square().mean())


def _same(a: Tensor, b: Tensor) -> bool:
    """Equal but for rounding, which GPUs do not repeat exactly."""
    return bool(torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max())))


def _random(name: str) -> str:
    relative = RANDOM.get(name, "dpmpp_2m")
    return (
        f"the sampler {name} adds random noise in its steps, so there is no one picture that a better schedule comes "
        f"closer to; use a sampler without it, for example {relative}"
    )


def _endless(name: str) -> str:
    why = " (CFG++ adds its guidance anew in every step)" if _is_cfg_pp(name) else ""
    return (
        f"with more and more steps the picture of the sampler {name} goes on changing{why}, so there is no converged "
        f"picture that a better schedule comes closer to; use another sampler, for example {CFG_PP.get(name, 'euler')}"
    )


def _is_cfg_pp(name: str) -> bool:
    return "cfg_pp" in name or "cfgpp" in name
