"""The Midpoint Error Proxy against its definition, its derivatives against autograd, and its continuum limit."""

import mpmath
import pytest
import torch

from density import density_schedule
from hso_core import named_schedule
from hso_core.method.edm_start import edm_start
from hso_core.method.midpoint_error import midpoint_error, midpoint_error_derivatives, step_density

CASES = [(p, k) for p in (1.0, 1.5, 2.0, 3.0) for k in (1, 2)]


def schedules(points: int = 7, members: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(points, members, generator=generator, dtype=torch.float64).mul(2).sort(0).values


@pytest.mark.parametrize(("p", "k"), CASES)
def test_value_is_the_papers_formula(p, k):
    """In 40 digits: sum of sigma^p / alpha at the middle times e^lambda' - e^lambda."""
    mpmath.mp.dps = 40
    lam = schedules()
    for member in range(lam.shape[1]):
        total = mpmath.mpf(0)
        values = [mpmath.mpf(x) for x in lam[:, member].tolist()]
        for left, right in zip(values, values[1:], strict=False):
            middle = (left + right) / 2
            alpha = (1 + mpmath.exp(-k * middle)) ** (mpmath.mpf(-1) / k)
            sigma = alpha * mpmath.exp(-middle)
            total += sigma**p / alpha * (mpmath.exp(right) - mpmath.exp(left))
        assert float(midpoint_error(lam, p, k)[member]) == pytest.approx(float(total), rel=1e-13)


@pytest.mark.parametrize(("p", "k"), CASES)
def test_derivatives_are_those_of_autograd(p, k):
    lam = schedules()
    d = midpoint_error_derivatives(lam, p, k)
    torch.testing.assert_close(d.value, midpoint_error(lam, p, k), rtol=1e-14, atol=0)
    for member in range(lam.shape[1]):
        column = lam[:, member]
        gradient = torch.autograd.functional.jacobian(lambda x: midpoint_error(x, p, k), column)
        hessian = torch.autograd.functional.hessian(lambda x: midpoint_error(x, p, k), column)
        expected = torch.diag(d.diagonal[:, member])
        expected += torch.diag(d.off_diagonal[:, member], 1) + torch.diag(d.off_diagonal[:, member], -1)
        torch.testing.assert_close(d.gradient[:, member], gradient, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(expected, hessian, rtol=1e-12, atol=1e-14)


def test_density_of_vp_is_the_closed_form():
    lam = torch.linspace(-5, 5, 201, dtype=torch.float64)
    sigma = (-2 * lam).sigmoid().sqrt()
    torch.testing.assert_close(step_density(lam, 2.0, 2), sigma * (4 - 3 * sigma**2) ** (1 / 3), rtol=1e-12, atol=0)


def test_density_of_flow_is_the_closed_form():
    lam = torch.linspace(-5, 5, 201, dtype=torch.float64)
    sigma = (-lam).sigmoid()
    expected = (sigma**2 * (3 - 2 * sigma)) ** (1 / 3)
    torch.testing.assert_close(step_density(lam, 2.0, 1), expected, rtol=1e-11, atol=0)


def test_density_for_p_1_is_uniform_in_lambda():
    torch.testing.assert_close(
        density_schedule(-2.0, 2.0, 8, 1.0, 2), torch.linspace(-2, 2, 9, dtype=torch.float64), rtol=0, atol=1e-9
    )


def test_value_at_the_density_schedule_follows_the_asymptotic_law():
    """J* = I0 + C^3 / (24 K^2) + O(1/K^4), with I0 = 2.9745 and C = 3.5569 for SD from t = 0.96 to 0.03."""
    noise = named_schedule("sd15")
    first, last = noise.lambda_of_t(torch.tensor([0.96, 0.03], dtype=torch.float64)).tolist()
    grid = torch.linspace(first, last, 20001, dtype=torch.float64)
    integral = float(torch.trapezoid((-2 * grid).sigmoid().sqrt(), grid))
    constant = float(torch.trapezoid(step_density(grid, 2.0, 2), grid))
    assert integral == pytest.approx(2.9745, abs=1e-4) and constant == pytest.approx(3.5569, abs=1e-4)
    for intervals, error in ((10, 2e-4), (40, 1e-6), (160, 4e-9)):
        j = float(midpoint_error(density_schedule(first, last, intervals, 2.0, 2), 2.0, 2))
        assert j == pytest.approx(integral + constant**3 / (24 * intervals**2), abs=error)


def test_edm_start_is_evenly_spaced_in_the_power_of_sigma():
    rho = torch.tensor([3.0, 7.0, 16.0], dtype=torch.float64)
    first, last = torch.full_like(rho, -2.5), torch.full_like(rho, 1.7)
    lam = edm_start(rho, first, last, 6)
    assert lam.shape == (7, 3) and bool((lam[1:] > lam[:-1]).all())
    assert torch.equal(lam[0], first) and torch.equal(lam[-1], last)
    gaps = (-lam / rho).exp().diff(dim=0)
    torch.testing.assert_close(gaps, gaps[:1].expand_as(gaps), rtol=1e-10, atol=0)
