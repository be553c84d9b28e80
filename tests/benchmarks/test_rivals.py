"""The schedules that are compared: those of others as others make them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from benchmarks.models.catalogue import load_model
from benchmarks.rivals import family
from benchmarks.rivals.dm_nonuniform import dm_nonuniform_lambdas, error_bound, lagrange_weights
from benchmarks.rivals.schedules import all_rivals, density_rule, is_schedule
from scipy.integrate import quad

from hso_core import named_schedule
from hso_core.schedule.baselines import table_sigmas


def test_lagrange_weights_are_the_integrals() -> None:
    nodes, low, high = np.array([-2.0, -0.5, 0.3]), 0.3, 1.1

    for i, weight in enumerate(lagrange_weights(nodes, low, high)):
        others = np.delete(nodes, i)

        def integrand(x: float, i: int = i, others: np.ndarray = others) -> float:
            return math.exp(x) * float(np.prod((x - others) / (nodes[i] - others)))

        assert weight == pytest.approx(quad(integrand, low, high)[0], rel=1e-9)


def test_dm_nonuniform_is_the_published_list() -> None:
    lam = dm_nonuniform_lambdas(named_schedule("sd15"), 4)
    published, _ = table_sigmas("DM-NonUniform SD", 4)

    assert np.exp(-lam[:-1]) == pytest.approx(published[:-1].numpy(), rel=5e-3)
    assert error_bound(lam, 3) < error_bound(np.linspace(lam[0], lam[-1], 5), 3)


@pytest.mark.parametrize("name", ["gaussian", "digits-flow"])
def test_every_rival_is_a_schedule_from_noise_to_zero(name: str) -> None:
    model = load_model(name)
    rivals = dict(all_rivals(model, "uni_pc", 5))

    assert {"karras", "simple", "beta", "karras (KSampler)", "hso", "density"} <= rivals.keys()
    assert all(is_schedule(sigmas, 5) and sigmas[-1] == 0 for sigmas in rivals.values())
    karras = model.host_sigmas("karras", 6)
    torch.testing.assert_close(rivals["karras (KSampler)"], torch.cat([karras[:5], karras[-1:]]))


def test_density_rule_on_a_gaussian_is_the_known_optimum_for_euler() -> None:
    """For N(0, c^2) dD/dlambda goes with c^2 s^2 / (c^2 + s^2)^(3/2): steps even in the integral of its root."""
    model = load_model("gaussian")
    sigmas = density_rule(model, 5).double()
    variances = torch.from_numpy(_gaussian_variances())
    s = torch.logspace(math.log10(model.noise.sigma_max), math.log10(model.noise.sigma_min), 4000).double()[:, None]
    slope = (s**2 * variances / (variances + s**2) ** 1.5).square().mean(1).sqrt()
    mass = torch.cat([torch.zeros(1).double(), (slope.sqrt()[1:] * -s[:, 0].log().diff()).cumsum(0)])
    expected = [float(s[int((mass - share * mass[-1]).abs().argmin()), 0]) for share in (0, 0.2, 0.4, 0.6, 0.8)]

    assert sigmas[:-1].tolist() == pytest.approx(expected, rel=0.1)


def _gaussian_variances() -> np.ndarray:
    from benchmarks.models.catalogue import power_law_gaussian

    return power_law_gaussian().variances[0].numpy()


def test_free_values_are_all_of_a_schedule() -> None:
    noise = named_schedule("sd15")
    sigmas = family.family_sigmas(noise, 6, rho=7.0, kappa=1.2, last=0.3)

    assert sigmas[0] == pytest.approx(noise.sigma_max) and sigmas[-2] == pytest.approx(0.3)
    assert is_schedule(sigmas, 6)
    torch.testing.assert_close(family.sigmas_of_free_values(float(sigmas[0]), family.free_values(sigmas)), sigmas)
