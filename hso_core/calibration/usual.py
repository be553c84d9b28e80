"""The schedule that is usually good: where the best steps of other networks lie, moved to where this one needs them.

The best schedules of networks that have little else in common lie alike in lambda, once each is moved by two things
that a few reference runs tell: how large the pictures are, and where the prediction has nearly ceased to turn. So
before anything is measured their mean is the best guess, and often better than what a dozen runs find.

The coefficients are fitted to the searched schedules of eight small networks by benchmarks/studies/safety.py, those for
fitted solvers to the schedules of fitted samplers by benchmarks/studies/usual_fits.py. Where one of these networks is
judged, they are fitted to the others (docs/calibration.md, "Schedules that are usually good").

And how good the pairs of sampler and scheduler usually are that a user could select.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..schedule.noise_schedule import NoiseSchedule
from .profile import Profile

Array = NDArray[np.float64]
Coefficients = tuple[tuple[float, float], ...]

FITTED = "fitted"
SETTLED = 0.75  # share of the turning that is over where the prediction is said to have settled
SETTLED_WEIGHT = 0.6  # of that place, and the rest of the pictures' size, in where the schedule lies
DEGREE = 3
COEFFICIENTS: dict[str, Coefficients] = {
    "euler": ((-3.664, -0.041), (7.379, 1.736), (-8.485, -5.723), (7.046, 5.122)),
    "dpmpp_2m": ((-3.464, -1.325), (5.011, 8.227), (-1.732, -14.544), (3.221, 7.515)),
    "uni_pc": ((-3.833, -0.573), (8.524, 2.724), (-6.162, -1.307), (3.215, 0.711)),
    FITTED: ((-4.294, -0.04), (10.231, 1.235), (-11.423, 3.432), (8.389, -3.806)),
}
"""By solver, those of u^j (rows, j = 0 to DEGREE) times 1 and ln(N / 6) (columns); u = i / N of the i-th step."""

MOST_BEHIND = 0.7  # that a single cell counts for in BEHIND; so far are pairs taken to be that it does not name
BEHIND: dict[str, float] = {
    "dpmpp_2m AYS SD 1.5": 0.48, "dpmpp_2m AYS SDXL": 0.48, "dpmpp_2m DM-NonUniform SD": 0.4,
    "dpmpp_2m GITS SD 1.5": 0.49, "dpmpp_2m OSS Chroma": 0.7, "dpmpp_2m OSS Flux": 0.68, "dpmpp_2m OSS Wan": 0.7,
    "dpmpp_2m beta": 0.32, "dpmpp_2m ddim_uniform": 0.58, "dpmpp_2m exponential": 0.39, "dpmpp_2m hso": 0.13,
    "dpmpp_2m karras": 0.33, "dpmpp_2m kl_optimal": 0.68, "dpmpp_2m linear_quadratic": 0.69, "dpmpp_2m normal": 0.43,
    "dpmpp_2m sgm_uniform": 0.3, "dpmpp_2m simple": 0.3, "euler AYS SD 1.5": 0.51, "euler AYS SDXL": 0.52,
    "euler DM-NonUniform SD": 0.53, "euler GITS SD 1.5": 0.53, "euler OSS Chroma": 0.7, "euler OSS Flux": 0.7,
    "euler OSS Wan": 0.7, "euler beta": 0.52, "euler ddim_uniform": 0.61, "euler exponential": 0.59,
    "euler hso": 0.48, "euler karras": 0.57, "euler kl_optimal": 0.68, "euler linear_quadratic": 0.69,
    "euler normal": 0.57, "euler sgm_uniform": 0.51, "euler simple": 0.51, "uni_pc AYS SD 1.5": 0.39,
    "uni_pc AYS SDXL": 0.47, "uni_pc DM-NonUniform SD": 0.45, "uni_pc GITS SD 1.5": 0.47, "uni_pc OSS Chroma": 0.7,
    "uni_pc OSS Flux": 0.69, "uni_pc OSS Wan": 0.7, "uni_pc beta": 0.37, "uni_pc beta (KSampler)": 0.51,
    "uni_pc ddim_uniform": 0.7, "uni_pc ddim_uniform (KSampler)": 0.59, "uni_pc exponential": 0.54,
    "uni_pc exponential (KSampler)": 0.29, "uni_pc hso": 0.32, "uni_pc karras": 0.69,
    "uni_pc karras (KSampler)": 0.44, "uni_pc kl_optimal": 0.7, "uni_pc kl_optimal (KSampler)": 0.6,
    "uni_pc linear_quadratic": 0.7, "uni_pc linear_quadratic (KSampler)": 0.7, "uni_pc normal": 0.7,
    "uni_pc normal (KSampler)": 0.33, "uni_pc sgm_uniform": 0.33, "uni_pc sgm_uniform (KSampler)": 0.45,
    "uni_pc simple": 0.33, "uni_pc simple (KSampler)": 0.45,
}  # fmt: skip
"""By "sampler schedule", how far a pair is behind the best one in the logarithm of its mean distance: the mean over
seven small networks and 4 to 8 steps, by benchmarks/studies/usual_pairs.py."""


def terms(steps: int) -> Array:
    """(N - 1, 2 (DEGREE + 1)): what COEFFICIENTS, row by row, are multiplied with for the levels after the first."""
    u = np.arange(1, steps)[:, None] / steps
    powers = u ** np.arange(DEGREE + 1)
    return np.asarray((powers[:, :, None] * np.array([1.0, np.log(steps / 6)])).reshape(steps - 1, -1))


def anchor(profile: Profile, noise: NoiseSchedule) -> float:
    """The lambda that schedules are told from: between that of the pictures' size and that where D has settled."""
    lam = noise.lambda_of_sigma(profile.sigmas.double()).numpy()
    first = 1 if not np.isfinite(lam[0]) else 0  # a flow model starts at -inf
    mass = np.sqrt(profile.turning().numpy()[first:] * np.diff(lam[first:]))
    gone = np.concatenate([[0.0], mass.cumsum()])
    size = -float(np.log(profile.typical_scale))
    settled = float(np.interp(SETTLED * gone[-1], gone, lam[first:])) if gone[-1] > 0 else size
    return SETTLED_WEIGHT * settled + (1 - SETTLED_WEIGHT) * size


def usual_lambdas(profile: Profile, noise: NoiseSchedule, steps: int, solver: str) -> Array:
    """(N - 1,): those after the start; where they would leave the model's range, drawn together evenly to fit in."""
    ends = torch.tensor([noise.sigma_max, noise.sigma_min], dtype=torch.float64, device="cpu")
    lowest, highest = noise.lambda_of_sigma(ends).tolist()
    inner = anchor(profile, noise) + terms(steps) @ np.ravel(COEFFICIENTS[solver])
    last = min(float(inner[-1]), highest)
    first = max(float(inner[0]), lowest + (last - lowest) / steps) if np.isfinite(lowest) else float(inner[0])
    if steps < 3 or (first == inner[0] and last == inner[-1]):
        return np.asarray(inner.clip(first, last))
    return np.asarray(first + (inner - inner[0]) * (last - first) / (inner[-1] - inner[0]))
