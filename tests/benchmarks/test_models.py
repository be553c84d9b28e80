"""The benchmark's models are what they say: exact scores, exact answers, the networks of their authors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from benchmarks import grid
from benchmarks.models import catalogue as models
from benchmarks.models import reference
from benchmarks.models.catalogue import Mixture, load_model
from benchmarks.models.reference import fine_sigmas
from benchmarks.models.solvers import REFERENCE_SOLVER, SolverRun
from benchmarks.studies import checkpoint
from torch import Tensor

from hso_core.calibration.run import BudgetSpent


def mixture(equal: bool) -> Mixture:
    generator = torch.Generator().manual_seed(3)
    means = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    spread = torch.rand(1 if equal else 4, 1 if equal else 5, generator=generator, dtype=torch.float64) + 0.1
    return Mixture(means, spread, torch.tensor([0.1, 0.2, 0.3, 0.4]).double().log())


def log_density(p: Mixture, x: Tensor, alpha: float, sigma: float) -> Tensor:
    """ln p_t(x) (batch,) of x = alpha x0 + sigma noise, with torch's own distributions."""
    scale = (alpha**2 * p.variances + sigma**2).sqrt().expand_as(p.means)
    components = torch.distributions.Independent(torch.distributions.Normal(alpha * p.means, scale), 1)
    weights = torch.distributions.Categorical(logits=p.log_weights)
    return torch.distributions.MixtureSameFamily(weights, components).log_prob(x)


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 0.05), (1.0, 2.0), (0.4, 0.6), (0.0, 1.0)])
def test_denoiser_is_tweedies_formula_of_the_density(equal: bool, alpha: float, sigma: float) -> None:
    p = mixture(equal)
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)

    (score,) = torch.autograd.grad(log_density(p, x, alpha, sigma).sum(), x)

    denoised = p.denoise(x.detach(), alpha, sigma)
    torch.testing.assert_close(alpha * denoised, x.detach() + sigma**2 * score, rtol=1e-9, atol=1e-9)


def test_solvers_end_at_the_gaussians_exact_answer() -> None:
    model = load_model("gaussian")
    run = SolverRun(model, "dpmpp_2m")
    sigmas = fine_sigmas(model.noise, 200)
    exact = model.exact(sigmas[0] * run.start_noise(range(4)), float(sigmas[0]))

    assert (run(sigmas, range(4)).latents - exact).square().mean().sqrt() < 2e-3  # what is left below sigma_min


def test_guidance_is_linear_and_flow_is_the_same_distribution() -> None:
    p = mixture(equal=True)
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    plain, flow = models.vp_denoiser(p), models.flow_denoiser(p)

    guided = models.guided_denoiser(plain, flow, 3.0)
    torch.testing.assert_close(guided(x, 0.5), 3 * plain(x, 0.5) - 2 * flow(x, 0.5))
    torch.testing.assert_close(flow(0.6 * x, 0.4), plain(x, 0.4 / 0.6))  # x / alpha, sigma / alpha


@pytest.mark.parametrize("name", ["hsc32", "gaussian", "digits-flow", "flow-unet", "sd-unet", "sd-unet-v"])
def test_table_is_that_of_the_hosts_object(name: str) -> None:
    model = load_model(name)
    sampling = model.sampling()

    torch.testing.assert_close(sampling.sigmas.double(), model.noise.sigmas, rtol=1e-6, atol=0)
    assert model.host_sigmas("simple", 5)[0] == pytest.approx(model.noise.sigma_max, rel=1e-6)


@pytest.mark.parametrize("name", ["hsc32", "digits-1", "digits-flow", "flow-unet-guided", "sd-unet-guided"])
@pytest.mark.parametrize("solver", ["euler", "dpmpp_2m", "uni_pc"])
def test_a_seed_gives_the_same_however_it_is_batched(name: str, solver: str) -> None:
    model = load_model(name)
    sigmas = model.host_sigmas("simple", 4)

    together = SolverRun(model, solver)(sigmas, [3, 9, 5])
    apart = SolverRun(model, solver, batch=1)(sigmas, [5, 3])

    assert together.evaluations == 3 * 4
    torch.testing.assert_close(together.latents[[2, 0]], apart.latents, rtol=1e-3, atol=1e-3)
    assert sigmas[-1] == 0  # uni_pc writes into what it is given


def test_the_limit_is_kept_and_every_evaluation_is_observed() -> None:
    seen: list[tuple[float, int]] = []
    run = SolverRun(load_model("mixture"), "euler", batch=2)
    sigmas = torch.tensor([10.0, 1.0, 0.0])

    with pytest.raises(BudgetSpent):
        run(sigmas, range(4), limit=7, observe=lambda sigma, x, denoised: seen.append((sigma, len(x))))

    assert seen == [(10.0, 2), (1.0, 2), (10.0, 2)]
    assert run(sigmas, range(4), limit=8).evaluations == 8


def test_an_euler_step_is_the_formula() -> None:
    model = load_model("mixture")
    run = SolverRun(model, "euler")
    x = 5.0 * run.start_noise([1])

    denoised = model.denoise(x, 5.0)
    halfway = denoised + (x - denoised) * 2.0 / 5.0
    torch.testing.assert_close(run(torch.tensor([5.0, 2.0, 0.0]), [1]).latents, model.denoise(halfway, 2.0))


def noise_on_the_way(seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """What euler_ancestral starts from, and what it adds in its first step, both (seeds, values) of unit variance."""
    model = dataclasses.replace(load_model("mixture"), denoise=lambda x, sigma: torch.zeros_like(x))
    seen: list[Tensor] = []
    run = SolverRun(model, "euler_ancestral", batch=len(seeds))
    run(torch.tensor([2.0, 1.0, 0.0]), seeds, observe=lambda sigma, x, denoised: seen.append(x.flatten(1)))
    start, then = seen
    up = math.sqrt(1 - 1 / 4)  # of sigma 2 to 1: sqrt(1^2 (2^2 - 1^2) / 2^2); down to sqrt(1^2 - up^2) = 1 / 2
    return start / 2, (then - start / 4) / up


def test_the_noise_on_the_way_is_not_the_noise_at_the_start() -> None:
    start, drawn = noise_on_the_way([60_000, 60_001, 200_000, 10_000])

    assert drawn.std() == pytest.approx(1.0, abs=0.1)
    unrelated = torch.corrcoef(torch.cat([start, drawn])) - torch.eye(8)
    assert unrelated.abs().max() < 0.4  # of 128 values: 0.09 on the average


def test_the_noise_on_the_way_is_the_seeds_own() -> None:
    _, together = noise_on_the_way([60_000, 60_001])
    _, apart = noise_on_the_way([60_001])

    torch.testing.assert_close(together[1:], apart)


@pytest.mark.parametrize("name", ["mixture", "digits-flow"])
def test_the_references_solver_is_that_of_the_nodes_and_the_hosts_without_its_noise(name: str) -> None:
    model = load_model(name)
    sigmas = model.host_sigmas("simple", 8).float()
    own, hosts = (
        run(sigmas, [3, 5]).latents
        for run in (SolverRun(model, REFERENCE_SOLVER), SolverRun(model, "dpmpp_3m_sde", eta=0.0))
    )
    assert torch.allclose(own, hosts, rtol=1e-4, atol=1e-4)
    assert checkpoint.pack("nodes.measuring.sampler_traits").REFERENCE == REFERENCE_SOLVER


def test_what_is_remembered_of_a_model_goes_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"one")
    first = models.content_of(weights)
    weights.write_bytes(b"another")
    assert len({first, models.content_of(weights), models.content_of()}) == 3
    assert len({load_model(name).content for name in ("hsc32", "flow-unet", "gaussian", "digits-1")}) == 4

    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    monkeypatch.setattr(reference, "STEPS", {0: 4})
    model = load_model("gaussian")
    kept = reference.converged(model, range(2))
    doubled = dataclasses.replace(model, denoise=lambda x, sigma: 2 * model.denoise(x, sigma), content="other weights")
    assert not torch.equal(reference.converged(doubled, range(2)), kept)
    assert torch.equal(reference.converged(model, range(2)), kept)


def test_two_converged_sets_are_of_other_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    monkeypatch.setattr(reference, "STEPS", {0: 8})
    monkeypatch.setattr(grid, "test_seeds", lambda _: range(32))

    found = grid.floor(load_model("gaussian"))

    assert 0.05 < found["swd"] < 0.5  # 32 samples of unit variance
    assert found["fd"] > 0


def test_fine_schedules_fall_evenly_in_lambda() -> None:
    for name in ("gaussian", "digits-flow"):
        noise = load_model(name).noise
        sigmas = fine_sigmas(noise, 30)
        lam = noise.lambda_of_sigma(sigmas[1:-1].double())

        assert (len(sigmas), sigmas[-1]) == (31, 0)
        assert sigmas[0] == pytest.approx(noise.sigma_max)
        assert sigmas[-2] == pytest.approx(noise.sigma_min, rel=1e-4)
        assert lam.diff().std() < 1e-3 * lam.diff().mean()
        assert math.isfinite(lam.sum())
