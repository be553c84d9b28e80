"""Test models: a denoiser, the noise schedule it belongs to, and the host's model_sampling object for it.

Usage (from the repository's folder, or after import_path(REPOSITORY / "benchmarks", "benchmarks")):

    from benchmarks.models.catalogue import MODELS, load_model
    from benchmarks.models.solvers import SolverRun
    model = load_model("hsc32")              # cached; sorted(MODELS) lists all names
    model.noise                              # NoiseSchedule: model.noise.sigma_max, .family
    run = SolverRun(model, "dpmpp_2m")       # hso_core.calibration.run.SamplerRun; also euler, uni_pc, uni_pc_bh2 ...
    result = run(sigmas, seeds=range(16))    # result.latents (16, C, H, W), result.evaluations
    model.sampling()                         # for comfy.samplers.calculate_sigmas(model.sampling(), "karras", 6)
    model.host_sigmas("karras", 6)           # the same in one call

The denoiser D(x, sigma) = E[x0 | x] takes x = alpha x0 + sigma noise: alpha = 1, or 1 - sigma for flow models.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import host_import
import workbench
from by_path import import_path
from hso_core import NoiseSchedule, named_schedule

from . import downloads, flow_network, sd_unet

Denoiser = Callable[[Tensor, float], Tensor]

BANDWIDTH = 0.25
"""Of the digits' kernel density, in standard deviations of the data: below about 0.2 a model only recalls pictures."""
SCALES = (0.15, 0.3, 1.0, 3.0)
GUIDANCE = 3.0
SD_GUIDANCE = 7.5
SD_CLASS = "people"
FLOW_SHIFT = 3.0


@dataclass(frozen=True)
class TestModel:
    """A denoiser with everything that a benchmark asks of a model.

    denoise  (x (batch, *shape) float32, sigma) -> the denoised picture, same shape
    noise    the table of sigmas that schedules are made from
    tier     0 exact answer, 1 exact score, 2 pretrained network
    exact    start x (batch, *shape) at a sigma -> where the exact solution ends at sigma 0, or None
    content  changes with what the model is made of; what is remembered of it goes by this (see content_of)
    """

    __test__ = False  # not a class of tests

    name: str
    tier: int
    shape: tuple[int, ...]
    noise: NoiseSchedule
    denoise: Denoiser
    make_sampling: Callable[[], Any]
    about: str
    exact: Callable[[Tensor, float], Tensor] | None = None
    content: str = ""

    def sampling(self) -> Any:
        """The host's model_sampling object with this model's table."""
        host_import.import_host()
        return self.make_sampling()

    def host_sigmas(self, scheduler: str, steps: int) -> Tensor:
        """The sigmas that the host's `scheduler` makes for this model, as BasicScheduler does."""
        sampling = self.sampling()
        import comfy.samplers

        return comfy.samplers.calculate_sigmas(sampling, scheduler, steps)


def content_of(*files: Path) -> str:
    """16 hex digits that change with this file and with the files (weights, pictures, code) that a model is made of."""
    digest = hashlib.sha256()
    for file in (Path(__file__), *files):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


# -- mixtures: Gaussians, optimal denoisers, guided fields -------------------------------------------------------------


@dataclass(frozen=True)
class Mixture:
    """The distribution sum_k w_k N(mean_k, diag(variance_k)).

    means (K, d) float64; variances (K, d), (K, 1) or (1, 1); log_weights (K,).
    """

    means: Tensor
    variances: Tensor
    log_weights: Tensor

    def denoise(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """E[x0 | alpha x0 + sigma noise = x] for x (batch, d) float64: exact, by Bayes' rule (Tweedie's formula)."""
        precision = 1 / (alpha**2 * self.variances + sigma**2)  # of x under each component
        if len(self.variances) == 1:
            return self._denoise_equal(x, alpha, precision)
        centres = alpha * self.means
        distance = x.square() @ precision.T - 2 * x @ (precision * centres).T + (precision * centres.square()).sum(1)
        log_volume = precision.log().expand_as(self.means).sum(1)
        weight = (self.log_weights + 0.5 * (log_volume - distance)).softmax(1)
        gain = alpha * self.variances * precision  # of each component's own linear denoiser
        return weight @ (self.means - gain * centres) + (weight @ gain.expand_as(self.means)) * x

    def _denoise_equal(self, x: Tensor, alpha: float, precision: Tensor) -> Tensor:
        """The same where all components have one variance: |x|^2 is the same for all and falls out of the weights."""
        centres = alpha * self.means
        logit = (x * precision) @ centres.T - 0.5 * (precision * centres.square()).sum(1)
        mean = (self.log_weights + logit).softmax(1) @ self.means
        return mean + alpha * self.variances * precision * (x - alpha * mean)


def vp_denoiser(mixture: Mixture, dtype: torch.dtype = torch.float64) -> Denoiser:
    return lambda x, sigma: mixture.denoise(x.flatten(1).to(dtype), 1.0, sigma).view_as(x).to(x.dtype)


def flow_denoiser(mixture: Mixture, dtype: torch.dtype = torch.float64) -> Denoiser:
    return lambda x, sigma: mixture.denoise(x.flatten(1).to(dtype), 1.0 - sigma, sigma).view_as(x).to(x.dtype)


def guided_denoiser(positive: Denoiser, negative: Denoiser, guidance: float) -> Denoiser:
    """Classifier-free guidance: D_u + w (D_c - D_u)."""

    def denoise(x: Tensor, sigma: float) -> Tensor:
        base = negative(x, sigma)
        return base + guidance * (positive(x, sigma) - base)

    return denoise


def power_law_gaussian(scale: float = 1.0, side: int = 16) -> Mixture:
    """N(0, C) with the spectrum of natural pictures, power ~ 1/f^2, of total variance scale^2 a pixel; d = side^2.

    The coordinates are the picture's frequencies (an orthogonal change of basis changes nothing in what is measured).
    """
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    power = 1 / (1 + (row**2 + column**2).double())
    variances = scale**2 * power / power.mean()
    return Mixture(torch.zeros(1, side**2, dtype=torch.float64), variances.view(1, -1), torch.zeros(1).double())


def anisotropic_mixture(components: int = 10, dimensions: int = 128, seed: int = 7) -> Mixture:
    """Random Gaussians, each stretched differently along the axes; unit variance a dimension over all."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(components, dimensions, generator=generator, dtype=torch.float64)
    variances = 0.3 * torch.randn(components, dimensions, generator=generator, dtype=torch.float64).mul(0.8).exp()
    weights = torch.rand(components, generator=generator, dtype=torch.float64) + 0.5
    weights /= weights.sum()
    means -= weights @ means
    total = (weights @ (means.square() + variances)).mean()
    return Mixture(means / total.sqrt(), variances / total, weights.log())


@functools.cache
def digit_table() -> tuple[Tensor, Tensor]:
    """5000 handwritten digits (n, 1, 28, 28), grey levels from 0 (paper) to 255, and their labels (n,)."""
    with gzip.open(downloads.fetched(downloads.DIGITS), "rt") as stream:
        table = torch.from_numpy(np.loadtxt(stream, delimiter=",", dtype=np.float32))
    return table[:, :-1].view(-1, 1, 28, 28), table[:, -1].long()


@functools.cache
def digit_pictures() -> tuple[Tensor, Tensor]:
    """The same at half their size, (n, 14 * 14) of mean 0 and standard deviation 1, and their labels (n,)."""
    pictures, labels = digit_table()
    return standardised(torch.nn.functional.avg_pool2d(pictures, 2).flatten(1).double()), labels


def standardised(pictures: Tensor) -> Tensor:
    """The pictures at a mean of 0 and a standard deviation of 1, over all their values."""
    return (pictures - pictures.mean()) / pictures.std()


def digits_mixture(scale: float, digit: int | None = None, every: int = 3) -> Mixture:
    """Kernel density of every third digit, at a standard deviation of `scale`; of one class if `digit` is given."""
    pictures, labels = digit_pictures()
    pictures, labels = pictures[::every], labels[::every]
    if digit is not None:
        pictures = pictures[labels == digit]
    pictures = (scale * pictures).float()
    variance = torch.full((1, 1), (BANDWIDTH * scale) ** 2)
    return Mixture(pictures, variance, torch.zeros(len(pictures)))


# -- pretrained networks -----------------------------------------------------------------------------------------------


GALAXY_NETWORK = workbench.REPOSITORY / "demo" / "galaxy_network.py"


def _network_denoiser(weights: Path) -> Denoiser:
    """D(x, sigma) of a score network of the galaxies' family, whose time is t = ln(1 + sigma^2)."""
    network = import_path(GALAXY_NETWORK, "galaxy_network").load_network(weights)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        time = torch.full((len(x),), math.log1p(sigma**2))
        return x - sigma * network(x / math.sqrt(1 + sigma**2), time)

    return denoise


def _network(name: str, weights: Callable[[], Path], about: str) -> TestModel:
    table = torch.linspace(0.02, 10, 1000, dtype=torch.float64).expm1().sqrt().float()
    shape = (1, 32, 32)
    noise, file = NoiseSchedule(table, "vp"), weights()
    content = content_of(file, GALAXY_NETWORK)
    return TestModel(name, 2, shape, noise, _network_denoiser(file), _galaxy_sampling, about, content=content)


FLOW_NETWORK = Path(flow_network.__file__)


def _flow_network(name: str, label: int, guidance: float, about: str) -> TestModel:
    """The small flow-matching network: any digit, or `label` guided by so much."""
    network = flow_network.load_network()

    def drawn(label: int) -> Denoiser:
        def denoise(x: Tensor, sigma: float) -> Tensor:
            velocity = network(x, torch.full((len(x),), sigma), torch.full((len(x),), label))
            return x - sigma * velocity

        return denoise

    anything = drawn(flow_network.ANY)
    denoise = anything if label == flow_network.ANY else guided_denoiser(drawn(label), anything, guidance)
    noise = named_schedule(f"flow:{FLOW_SHIFT:g}")
    shape, content = (1, flow_network.SIDE, flow_network.SIDE), content_of(flow_network.WEIGHTS, FLOW_NETWORK)
    return TestModel(name, 2, shape, noise, denoise, flow_sampling, about, content=content)


SD_NETWORK = Path(sd_unet.__file__)


def sd_network(name: str, prediction: str, label: int, guidance: float, about: str) -> TestModel:
    """The small network on Stable Diffusion's table: anything, or a class (1: as it is, above: guided by so much)."""
    network = sd_unet.load_network(prediction)
    anything, wanted = (functools.partial(network.denoised, label=of) for of in (sd_unet.ANY, label))
    denoise = wanted if label == sd_unet.ANY or guidance == 1 else guided_denoiser(wanted, anything, guidance)
    noise = NoiseSchedule(sd_unet.sigma_table(prediction).float(), "vp")
    sampling = _zero_snr_sampling if prediction == "v" else _sd15_sampling
    content = content_of(sd_unet.WEIGHTS[prediction], SD_NETWORK, FLOW_NETWORK)
    return TestModel(name, 2, (3, sd_unet.SIDE, sd_unet.SIDE), noise, denoise, sampling, about, content=content)


# -- the host's model_sampling objects ---------------------------------------------------------------------------------


def _galaxy_sampling() -> Any:
    demo = import_path(workbench.REPOSITORY / "demo", "hso_demo")
    return import_path(Path(demo.__file__).with_name("galaxy_model.py"), "hso_demo.galaxy_model").GalaxySampling()


def _sd15_sampling() -> Any:
    import comfy.model_sampling

    class Sampling(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
        pass

    return Sampling()


def _zero_snr_sampling() -> Any:
    import comfy.model_sampling

    class Sampling(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.V_PREDICTION):
        pass

    return Sampling(zsnr=True)


def flow_sampling(shift: float = FLOW_SHIFT) -> Any:
    import comfy.model_sampling

    class Sampling(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
        pass

    sampling = Sampling()
    sampling.set_parameters(shift=shift)
    return sampling


# -- the list ----------------------------------------------------------------------------------------------------------


def _exact_gaussian(mixture: Mixture) -> Callable[[Tensor, float], Tensor]:
    """Along the probability flow each coordinate keeps its rank: x(0) = x(sigma) c / sqrt(c^2 + sigma^2)."""

    def solve(x: Tensor, sigma: float) -> Tensor:
        gain = (mixture.variances / (mixture.variances + sigma**2)).sqrt()
        return (x.flatten(1).double() * gain).view_as(x).float()

    return solve


def _gaussian(name: str, scale: float) -> TestModel:
    mixture = power_law_gaussian(scale)
    about = f"Gaussian in 256 dimensions, spectrum 1/f^2, standard deviation {scale:g}"
    noise, denoise = named_schedule("sd15"), vp_denoiser(mixture)
    exact = _exact_gaussian(mixture)
    return TestModel(name, 0, (1, 16, 16), noise, denoise, _sd15_sampling, about, exact, content_of())


def _mixture(name: str) -> TestModel:
    denoise = vp_denoiser(anisotropic_mixture())
    about = "10 anisotropic Gaussians in 128 dimensions"
    noise = named_schedule("sd15")
    return TestModel(name, 1, (2, 8, 8), noise, denoise, _sd15_sampling, about, content=content_of())


def _digits(name: str, scale: float) -> TestModel:
    denoise = vp_denoiser(digits_mixture(scale), torch.float32)
    about = f"optimal denoiser of 1667 handwritten digits, standard deviation {scale:g}, bandwidth {BANDWIDTH:g} of it"
    return _of_digits(name, denoise, named_schedule("sd15"), _sd15_sampling, about)


def _guided_digits(name: str) -> TestModel:
    everything, threes = (vp_denoiser(digits_mixture(1.0, digit), torch.float32) for digit in (None, 3))
    about = f"exact guidance of {GUIDANCE:g} towards the digit 3"
    denoise = guided_denoiser(threes, everything, GUIDANCE)
    return _of_digits(name, denoise, named_schedule("sd15"), _sd15_sampling, about)


def _flow_digits(name: str) -> TestModel:
    denoise = flow_denoiser(digits_mixture(1.0), torch.float32)
    about = f"the digits at scale 1 as a flow model, shift {FLOW_SHIFT:g}"
    return _of_digits(name, denoise, named_schedule(f"flow:{FLOW_SHIFT:g}"), flow_sampling, about)


def _of_digits(
    name: str, denoise: Denoiser, noise: NoiseSchedule, make_sampling: Callable[[], Any], about: str
) -> TestModel:
    content = content_of(downloads.fetched(downloads.DIGITS))
    return TestModel(name, 1, (1, 14, 14), noise, denoise, make_sampling, about, content=content)


MODELS: dict[str, Callable[[], TestModel]] = {
    "hsc32": lambda: _network("hsc32", workbench.demo_weights, "pretrained: galaxies of a sky survey"),
    "ztf32": lambda: _network("ztf32", lambda: downloads.fetched(downloads.ZTF32), "pretrained: simulated galaxies"),
    "LogNet32": lambda: _network(
        "LogNet32", lambda: downloads.fetched(downloads.LOGNET32), "pretrained: galaxies, logarithmic brightness"
    ),
    "flow-unet": lambda: _flow_network(
        "flow-unet", flow_network.ANY, 1.0, f"trained here with flow matching: digits, shift {FLOW_SHIFT:g}"
    ),
    "flow-unet-guided": lambda: _flow_network(
        "flow-unet-guided", 3, GUIDANCE, f"the same, guidance of {GUIDANCE:g} towards the digit 3"
    ),
    "sd-unet": lambda: sd_network(
        "sd-unet", "eps", sd_unet.ANY, 1.0, "trained here on Stable Diffusion's table: emoji in colour"
    ),
    "sd-unet-guided": lambda: sd_network(
        "sd-unet-guided",
        "eps",
        sd_unet.CLASSES.index(SD_CLASS),
        SD_GUIDANCE,
        f"the same, guidance of {SD_GUIDANCE:g} towards the class {SD_CLASS}",
    ),
    "sd-unet-v": lambda: sd_network(
        "sd-unet-v", "v", sd_unet.ANY, 1.0, "its sister for velocities, up to a terminal SNR of zero"
    ),
    "gaussian": lambda: _gaussian("gaussian", 1.0),
    "mixture": lambda: _mixture("mixture"),
    "digits-0.15": lambda: _digits("digits-0.15", 0.15),
    "digits-0.3": lambda: _digits("digits-0.3", 0.3),
    "digits-1": lambda: _digits("digits-1", 1.0),
    "digits-3": lambda: _digits("digits-3", 3.0),
    "digits-guided": lambda: _guided_digits("digits-guided"),
    "digits-flow": lambda: _flow_digits("digits-flow"),
}
"""Those of docs/benchmark.md."""

EMOJI_NETWORKS = ("sd-unet", "sd-unet-guided", "sd-unet-v")
NETWORKS = ("hsc32", "ztf32", "LogNet32", "flow-unet", "flow-unet-guided", *EMOJI_NETWORKS)
"""Those of tier 2."""
RELATIVES = (("flow-unet", "flow-unet-guided"), EMOJI_NETWORKS)
"""Networks with the same weights or data. What is learnt of the others is judged on a network without its relatives."""


@functools.cache
def load_model(name: str) -> TestModel:
    """The test model `name`, one of MODELS."""
    return MODELS[name]()
