"""The tables of weights reproduce the samplers of the real ComfyUI."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import pytest
import torch

import host_import
from hso_core import named_schedule
from hso_core.solvers import SOLVERS, known_solver
from hso_core.solvers.known_solvers import Grid

host_import.import_host()

import comfy.k_diffusion.sampling as k_diffusion  # noqa: E402
import comfy.model_sampling  # noqa: E402
from comfy.extra_samplers import uni_pc  # noqa: E402

SD15, FLOW = named_schedule("sd15"), named_schedule("flow:3")
UNI_PC_END = 0.001
EXACT = 1e-8  # of float64; uni_pc comes back from sigma 14 to 0.03 by way of 1 - 1 / (1 + sigma^2)
HOST = {
    "euler": k_diffusion.sample_euler,
    "dpmpp_2m": k_diffusion.sample_dpmpp_2m,
    "dpmpp_3m": functools.partial(k_diffusion.sample_dpmpp_3m_sde, eta=0.0, noise_sampler=lambda *_: None),
    "res_multistep": k_diffusion.sample_res_multistep,
    "lms": k_diffusion.sample_lms,
    "ipndm": k_diffusion.sample_ipndm,
    "deis": k_diffusion.sample_deis,
    "uni_pc": uni_pc.sample_unipc,
    "uni_pc_bh2": uni_pc.sample_unipc_bh2,
}


@pytest.fixture(autouse=True)
def in_double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Model:
    """A prediction that is far from linear, as the host's samplers call a model."""

    def __init__(self, family: str) -> None:
        self.flow = family == "flow"
        sampling = flow_sampling() if self.flow else SimpleNamespace()
        patcher = SimpleNamespace(get_model_object=lambda _: sampling)
        self.inner_model = SimpleNamespace(
            inner_model=SimpleNamespace(model_sampling=sampling), model_patcher=patcher, model_sampling=sampling
        )

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, **_: object) -> torch.Tensor:
        level = sigma.flatten()[0]
        alpha = 1 - level if self.flow else 1.0
        return torch.tanh(1.7 * x / (alpha + level) + 0.3 * x.roll(1, -1)) + 0.2 * torch.sin(level.log1p() + x)


def flow_sampling() -> object:
    class Sampling(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
        pass

    sampling = Sampling()
    sampling.set_parameters(shift=3.0)
    return sampling


def schedule(noise, steps: int, denoise: float) -> torch.Tensor:
    """Uneven steps, as float32 values, from the noise level of `denoise` to 0."""
    start = noise.sigma_of_denoise(denoise)
    u = (torch.arange(steps + 1) / steps) ** 1.3
    return (start * (1 - u) ** 2.2).float().double()


@pytest.mark.parametrize(
    "name, steps",
    [(name, steps) for name in SOLVERS for steps in range(1, 11) if steps > 1 or not name.startswith("uni_pc")],
)
@pytest.mark.parametrize("denoise", [1.0, 0.6])
@pytest.mark.parametrize("noise", [SD15, FLOW], ids=["vp", "flow"])
def test_the_weights_are_those_of_the_hosts_sampler(name, steps, denoise, noise):
    sigmas = schedule(noise, steps, denoise)
    x = float(sigmas[0]) * torch.randn(2, 1, 3, 5, generator=torch.Generator().manual_seed(steps))
    ends = sigmas.clone()
    if name.startswith("uni_pc"):
        ends[-1] = UNI_PC_END
    if name == "dpmpp_3m" and noise is FLOW and denoise == 1:
        ends[0] = flow_sampling().percent_to_sigma(1e-4)  # where the host's 3M starts a flow model

    expected = HOST[name](Model(noise.family), x.clone(), sigmas.clone(), extra_args={}, disable=True)
    found = sample(known_solver(name, ends, noise), Model(noise.family), x, ends)

    bound = 1e-3 if name == "deis" else EXACT
    assert float((found - expected).abs().max()) < bound * float(expected.abs().max())


@pytest.mark.parametrize("name", ["uni_pc", "uni_pc_bh2"])
def test_the_hosts_uni_pc_makes_no_picture_in_one_step_and_ours_one_of_euler(name):
    sigmas, x = torch.tensor([14.0, 0.0]), 14 * torch.randn(1, 1, 3, 5)

    untouched = HOST[name](Model("vp"), x.clone(), sigmas.clone(), extra_args={}, disable=True)

    assert torch.allclose(untouched, x / (1 + 14**2) ** 0.5, rtol=1e-5)
    assert torch.equal(known_solver(name, sigmas, SD15).weights, torch.eye(1))


@pytest.mark.parametrize("noise", [SD15, FLOW], ids=["vp", "flow"])
@pytest.mark.parametrize("name", SOLVERS)
def test_many_grids_at_once_give_the_same_weights(name, noise):
    sigmas = [schedule(noise, 6, denoise) for denoise in (1.0, 0.5)]

    together = SOLVERS[name](Grid.of(torch.stack(sigmas).numpy(), noise))

    for weights, each in zip(together, sigmas, strict=True):
        assert torch.allclose(torch.from_numpy(weights), known_solver(name, each, noise).weights, atol=1e-12)


def sample(solver, model, x, sigmas):
    """As LinearMultistep.sample does, at the sigmas of the test in float64."""
    step, kappa = [], 1 / sigmas
    for i in range(len(sigmas) - 1):
        step.append(model(x, sigmas[i] * torch.ones(len(x))))
        mean = sum(weight * denoised for weight, denoised in zip(solver.weights[i], step, strict=False))
        x = mean if sigmas[i + 1] == 0 else (x / sigmas[i] + (kappa[i + 1] - kappa[i]) * mean) * sigmas[i + 1]
    return x
