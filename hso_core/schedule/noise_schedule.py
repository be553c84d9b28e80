"""A model's noise schedule: its table of sigmas, and the maps between sigma, half-log-SNR and time.

Half-log-SNR is lambda = ln(alpha / sigma). In ComfyUI's terms a table entry is sigma/alpha for VP and VE models
(x = x0 + sigma * noise after dividing by alpha) and sigma itself, with alpha = 1 - sigma, for flow models.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

FAMILIES = ("vp", "flow")
ROUNDING = 1e-5  # a float32 flow table may end at 1.0000001 (shift 0.2 does)


class NoiseScheduleError(ValueError):
    """The table of sigmas cannot be a model's noise schedule; the message says why."""


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """A table of sigmas, ascending, and the convention it is written in.

    sigmas: (T,) float64 on the CPU, non-decreasing, positive. Entry k belongs to time t = (k + 1) / T. What rounding
            has left of a table is mended: zeros in front, which belong to time 0, go; a dip becomes level.
    family: "vp" (also VE and EDM: entry = sigma/alpha, lambda = -ln entry) or
            "flow" (entry = sigma, alpha = 1 - sigma, lambda = -logit entry).

    Two schedules are equal when family and table are (compared by `fingerprint`).
    """

    sigmas: Tensor
    family: str = "vp"

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise NoiseScheduleError(f"unknown family {self.family!r}: it is one of {', '.join(FAMILIES)}")
        table = _as_double(self.sigmas).clone()
        if table.ndim == 1 and len(table) and bool(table.isfinite().all()):
            table = _without_rounding(table, self.family)
        _check_table(table, self.family)
        object.__setattr__(self, "sigmas", table)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoiseSchedule) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __len__(self) -> int:
        return len(self.sigmas)

    @classmethod
    def from_alphas_cumprod(cls, alphas_cumprod: Tensor) -> NoiseSchedule:
        """VP schedule from alpha_bar_n = alpha_n^2, descending in (0, 1)."""
        a = _as_double(alphas_cumprod)
        if a.ndim != 1 or not bool(((a > 0) & (a < 1)).all()):
            raise NoiseScheduleError("alphas_cumprod must be a list of numbers between 0 and 1")
        # float32 as ComfyUI stores it, so that a named schedule and a loaded model give the same numbers.
        return cls(((1 - a) / a).sqrt().float(), "vp")

    @classmethod
    def from_betas(cls, betas: Tensor) -> NoiseSchedule:
        """VP schedule from the betas of a discrete diffusion process."""
        return cls.from_alphas_cumprod(torch.cumprod(1 - _as_double(betas), dim=0))

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that name family and table."""
        digest = hashlib.sha256(self.family.encode())
        digest.update(self.sigmas.numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def sigma_min(self) -> float:
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        return float(self.sigmas[-1])

    @property
    def snr_power(self) -> int:
        """k in alpha^k + sigma^k = 1: 2 for VP, 1 for flow."""
        return 2 if self.family == "vp" else 1

    # -- maps; every argument and result is a float64 tensor of any shape ------------------------------------------

    def lambda_of_sigma(self, sigma: Tensor) -> Tensor:
        """Half-log-SNR of a table value. Infinite where sigma is 0, or 1 in a flow schedule."""
        return -sigma.log() if self.family == "vp" else -sigma.logit()

    def sigma_of_lambda(self, lam: Tensor) -> Tensor:
        """The inverse of `lambda_of_sigma`."""
        return (-lam).exp() if self.family == "vp" else (-lam).sigmoid()

    def lambda_of_t(self, t: Tensor) -> Tensor:
        """Half-log-SNR at time t in (0, 1].

        VP: ln alpha is piecewise linear in t, as in the paper (and 0 at t = 0).
        Flow: alpha/sigma is piecewise linear in (1 - t)/t, which is exact for every shifted flow
        sigma = s t / (1 + (s - 1) t) and finite where sigma is 1.
        """
        line = self._lines(t.device)[0]
        # Beyond the last knot a table is flat: its largest sigma holds.
        if self.family == "vp":
            return _lambda_of_minus_log_alpha(line(t.clamp(max=line.knots[-1])))
        return line(((1 - t) / t).clamp(min=line.knots[0])).log()

    def t_of_lambda(self, lam: Tensor) -> Tensor:
        """The inverse of `lambda_of_t`."""
        line = self._lines(lam.device)[1]
        if self.family == "vp":
            return line(_minus_log_alpha_of_lambda(lam))
        return 1 / (1 + line(lam.exp()))

    def dt_dlambda(self, lam: Tensor) -> Tensor:
        """Slope of `t_of_lambda` (negative; one-sided at table entries)."""
        line = self._lines(lam.device)[1]
        if self.family == "vp":
            # d(-ln alpha)/dlambda = -sigma^2
            return -(-2 * lam).sigmoid() * line.slope(_minus_log_alpha_of_lambda(lam))
        ratio = lam.exp()
        return -ratio * line.slope(ratio) / (1 + line(ratio)).square()

    def sigma_of_t(self, t: Tensor) -> Tensor:
        return self.sigma_of_lambda(self.lambda_of_t(t))

    # -- the part that changes a picture, and makes none -----------------------------------------------------------

    def sigma_of_denoise(self, denoise: float) -> float:
        """Sigma at time t = denoise, above 0 and at most 1; exactly sigma_max at 1."""
        if denoise >= 1:
            return self.sigma_max
        return float(self.sigma_of_t(torch.tensor(denoise, dtype=torch.float64, device="cpu")))

    def up_to(self, start: float) -> NoiseSchedule:
        """The part of it that is below the sigma `start`, which is its largest then; itself from sigma_max on."""
        if start >= self.sigma_max:
            return self
        last = torch.tensor([start], dtype=torch.float64, device="cpu")
        below = self.sigmas[self.sigmas < start]
        return NoiseSchedule(torch.cat([below if len(below) else last / 2, last]), self.family)

    def _lines(self, device: torch.device) -> tuple[_PiecewiseLinear, _PiecewiseLinear]:
        """The map that is piecewise linear, t -> -ln alpha or (1-t)/t -> alpha/sigma for flow, and its inverse."""
        cache: dict[torch.device, tuple[_PiecewiseLinear, _PiecewiseLinear]]
        cache = self.__dict__.setdefault("_lines_on", {})
        if device not in cache:
            u, y = (knots.to(device) for knots in self._make_knots())
            cache[device] = (_PiecewiseLinear(u, y), _PiecewiseLinear(y, u))
        return cache[device]

    def _make_knots(self) -> tuple[Tensor, Tensor]:
        """Ascending (u, y), both (n,): (t, -ln alpha), or ((1-t)/t, alpha/sigma) for flow."""
        length = len(self.sigmas)
        t = torch.arange(1, length + 1, dtype=torch.float64, device="cpu") / length
        keep = _first_of_equal(self.sigmas)
        t, sigmas = t[keep], self.sigmas[keep]
        if self.family == "vp":
            zero = torch.zeros(1, dtype=torch.float64, device="cpu")
            return torch.cat([zero, t]), torch.cat([zero, 0.5 * sigmas.square().log1p()])
        return ((1 - t) / t).flip(0), ((1 - sigmas) / sigmas).flip(0)


def _without_rounding(table: Tensor, family: str) -> Tensor:
    """A finite table (T,) as it was meant, with nothing changed by more than rounding.

    ComfyUI's schedulers read tables from the end and never come to zeros in front, nor mind a dip.
    """
    least = ROUNDING * float(table.max())
    first = int((table > 0).to(torch.uint8).argmax())
    if first < len(table) - 1 and bool((table[:first] >= -least).all()):
        table = table[first:]
    raised = table.cummax(0).values
    table = raised if bool((raised - table <= ROUNDING * raised).all()) else table
    if family == "flow":
        table = torch.where((table > 1) & (table < 1 + ROUNDING), 1.0, table)
    return table


def _as_double(values: ArrayLike | Tensor) -> Tensor:
    """Values, also such as are no tensor, in float64 on the CPU. (.cpu() first: MPS tensors cannot be float64.)"""
    given = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, dtype=np.float64))
    return given.detach().cpu().double()


def _check_table(table: Tensor, family: str) -> None:
    if table.ndim != 1 or len(table) < 2:
        raise NoiseScheduleError(
            f"a noise schedule is a list of at least 2 sigmas; this one has the shape {tuple(table.shape)}"
        )
    if not bool(table.isfinite().all()):
        raise NoiseScheduleError(f"entry {_where(~table.isfinite())} of the noise schedule is not a finite number")
    if not bool((table > 0).all()):
        k = _where(table <= 0)
        raise NoiseScheduleError(f"entry {k} of the noise schedule is {float(table[k]):g}; every sigma must be above 0")
    falls = table[1:] < table[:-1]
    if bool(falls.any()):
        k = _where(falls)
        raise NoiseScheduleError(
            f"the noise schedule must increase, but entry {k + 1} ({float(table[k + 1]):g}) is below entry {k} "
            f"({float(table[k]):g})"
        )
    if not bool(table[0] < table[-1]):
        raise NoiseScheduleError(f"all sigmas of the noise schedule are {float(table[0]):g}; they must increase")
    if family == "flow" and float(table[-1]) > 1:
        raise NoiseScheduleError(f"the largest sigma of a flow model is 1; this table goes to {float(table[-1]):g}")


def _where(mask: Tensor) -> int:
    return int(mask.nonzero()[0])


def _first_of_equal(sigmas: Tensor) -> Tensor:
    """Mask that keeps one entry of each run of equal sigmas, so that the maps can be inverted.

    Stable Cascade's table is flat at both ends. Of a run the first entry stays, but of the lowest run the last one:
    below it time still runs, towards sigma = 0.
    """
    rises = sigmas[1:] > sigmas[:-1]
    keep = torch.cat([torch.zeros_like(rises[:1]), rises])
    keep[int(rises.nonzero()[0])] = True
    return keep


def cell_of(knots: Tensor, x: Tensor, cells: int) -> Tensor:
    """Index of the cell between knots (n,), ascending, that each x lies in, at least 0 and at most cells - 1.

    torch.searchsorted starts threads for as few as 200 values. Where the cores are busy, waiting for them takes longer
    than all the rest of the search.
    """
    if x.is_cuda:
        found = torch.searchsorted(knots, x.contiguous(), right=True)
    else:
        found = torch.as_tensor(np.searchsorted(knots.numpy(), x.numpy(), side="right"), device="cpu")
    return (found - 1).clamp_(0, cells - 1)


class _PiecewiseLinear:
    """The function through (knots, values), both (n,) and ascending; straight on outside."""

    def __init__(self, knots: Tensor, values: Tensor) -> None:
        self.knots = knots
        self.values = values
        self.slopes = values.diff() / knots.diff()

    def __call__(self, x: Tensor) -> Tensor:
        i = self._cell(x)
        return torch.addcmul(self.values[i], x - self.knots[i], self.slopes[i])

    def slope(self, x: Tensor) -> Tensor:
        return self.slopes[self._cell(x)]

    def _cell(self, x: Tensor) -> Tensor:
        return cell_of(self.knots, x, len(self.slopes))


def _minus_log_alpha_of_lambda(lam: Tensor) -> Tensor:
    """-ln alpha of a VP process, alpha^2 = sigmoid(2 lambda)."""
    return 0.5 * (-2 * lam).exp().log1p()


def _lambda_of_minus_log_alpha(y: Tensor) -> Tensor:
    return -0.5 * (2 * y).expm1().log()


# -- schedules by name -------------------------------------------------------------------------------------------------


def named_schedule(name: str) -> NoiseSchedule:
    """`sd15` (also SD2 and SDXL), `ddpm`, `flow:SHIFT` or `edm:MIN:MAX`, with ComfyUI's own arithmetic.

    sd15: betas scaled-linear 0.00085 -> 0.012; ddpm: linear 1e-4 -> 0.02; flow: sigma = s t / (1 + (s-1) t);
    edm: 1000 sigmas evenly spaced in the logarithm.
    """
    kind, *arguments = name.strip().lower().split(":")
    makers: dict[str, tuple[Callable[..., NoiseSchedule], int]] = {
        "sd15": (scaled_linear, 0),
        "ddpm": (linear, 0),
        "flow": (shifted_flow, 1),
        "edm": (log_spaced, 2),
    }
    if kind not in makers:
        raise NoiseScheduleError(
            f"unknown schedule {name!r}: use sd15 (also for SD 2 and SDXL), ddpm, flow:SHIFT or edm:MIN:MAX"
        )
    make, count = makers[kind]
    try:
        numbers = [float(a) for a in arguments]
    except ValueError:
        raise NoiseScheduleError(f"schedule {name!r}: the part after the colon must be a number") from None
    if len(numbers) != count:
        form = {0: kind, 1: "flow:SHIFT, for example flow:3", 2: "edm:MIN:MAX, for example edm:0.002:80"}[count]
        raise NoiseScheduleError(f"schedule {name!r}: write {form}")
    return make(*numbers)


def scaled_linear(start: float = 0.00085, end: float = 0.012, length: int = 1000) -> NoiseSchedule:
    """Stable Diffusion 1, 2 and XL."""
    return NoiseSchedule.from_betas(
        torch.linspace(start**0.5, end**0.5, length, dtype=torch.float64, device="cpu").square()
    )


def linear(start: float = 1e-4, end: float = 0.02, length: int = 1000) -> NoiseSchedule:
    """DDPM (Ho et al. 2020); also PixArt."""
    return NoiseSchedule.from_betas(torch.linspace(start, end, length, dtype=torch.float64, device="cpu"))


def shifted_flow(shift: float, length: int = 1000) -> NoiseSchedule:
    """Rectified flow with a time shift (SD3: 3, AuraFlow: 1.73, Wan: 8)."""
    if not (math.isfinite(shift) and shift > 0):
        raise NoiseScheduleError(f"the shift of a flow schedule must be above 0, not {shift:g}")
    places = torch.arange(1, length + 1, dtype=torch.float32, device="cpu")
    t = (places / length) * 1000 / 1000  # as in ComfyUI, to the last bit
    return NoiseSchedule(t if shift == 1.0 else shift * t / (1 + (shift - 1) * t), "flow")


def log_spaced(sigma_min: float, sigma_max: float, length: int = 1000) -> NoiseSchedule:
    """Karras et al. (EDM) models: a range of sigmas (SVD: 0.002 to 700, Playground 2.5: 0.002 to 80)."""
    if not 0 < sigma_min < sigma_max < math.inf:
        raise NoiseScheduleError(f"edm:MIN:MAX needs 0 < MIN < MAX, not {sigma_min:g} and {sigma_max:g}")
    ends = math.log(sigma_min), math.log(sigma_max)
    return NoiseSchedule(torch.linspace(*ends, length, dtype=torch.float32, device="cpu").exp(), "vp")
