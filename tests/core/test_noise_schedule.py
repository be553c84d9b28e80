"""The noise schedule: tables, names, and the maps between t, lambda and sigma."""

import math

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hso_core import NoiseSchedule, NoiseScheduleError, named_schedule

NAMES = ("sd15", "ddpm", "flow:1", "flow:3", "flow:1.73", "edm:0.002:80", "edm:0.002:700")


def t64(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_maps_go_through_the_table(name):
    noise = named_schedule(name)
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    finite = noise.sigmas < 1 if noise.family == "flow" else noise.sigmas > 0
    torch.testing.assert_close(noise.sigma_of_t(t), noise.sigmas, rtol=1e-13, atol=0)
    lam = noise.lambda_of_sigma(noise.sigmas[finite])
    torch.testing.assert_close(noise.t_of_lambda(lam), t[finite], rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", NAMES)
@given(t=st.floats(1e-4, 0.9999))
def test_t_and_lambda_are_inverse(name, t):
    noise = named_schedule(name)
    assert float(noise.t_of_lambda(noise.lambda_of_t(t64(t)))) == pytest.approx(t, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_slope_of_t_is_the_difference_quotient(name):
    noise = named_schedule(name)
    t = torch.linspace(0.0123, 0.9871, 80, dtype=torch.float64) + 0.00037  # inside the cells
    lam = noise.lambda_of_t(t)
    h = 1e-8
    quotient = (noise.t_of_lambda(lam + h) - noise.t_of_lambda(lam - h)) / (2 * h)
    torch.testing.assert_close(noise.dt_dlambda(lam), quotient, rtol=1e-6, atol=1e-9)


def test_log_alpha_is_linear_in_t_as_in_the_paper():
    """Against the paper's formula in 50 digits, between two entries of the DDPM table."""
    noise = named_schedule("ddpm")
    mpmath.mp.dps = 50
    log_alpha = [-mpmath.log1p(mpmath.mpf(float(noise.sigmas[n])) ** 2) / 2 for n in (369, 370)]  # t = 0.370, 0.371
    for weight in (0.0, 0.25, 0.7):
        between = log_alpha[0] + mpmath.mpf(weight) * (log_alpha[1] - log_alpha[0])
        sigma = mpmath.sqrt(1 - mpmath.exp(2 * between))
        expected = between - mpmath.log(sigma)
        assert float(noise.lambda_of_t(t64(0.370 + 0.001 * weight))) == pytest.approx(float(expected), rel=1e-12)


@given(shift=st.floats(0.2, 30), t=st.floats(0.0015, 0.99))
def test_shift_of_a_flow_model_translates_lambda(shift, t):
    """sigma = s t / (1 + (s - 1) t) means lambda = ln((1 - t)/t) - ln s, also between the entries of the table."""
    lam = float(named_schedule(f"flow:{shift!r}").lambda_of_t(t64(t)))
    expected = math.log((1 - t) / t) - math.log(shift)
    assert lam == pytest.approx(expected, abs=6e-4)  # the table is float32, and 1 - sigma may be small


def test_flow_is_exact_between_entries_of_a_double_table():
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    noise = NoiseSchedule(3 * t / (1 + 2 * t), "flow")
    between = torch.linspace(0.0017, 0.99997, 333, dtype=torch.float64)
    torch.testing.assert_close(noise.sigma_of_t(between), 3 * between / (1 + 2 * between), rtol=1e-12, atol=0)


def test_the_same_process_in_tables_of_other_lengths_gives_the_same_maps():
    long, short = (NoiseSchedule(torch.linspace(1 / n, 1, n, dtype=torch.float64), "flow") for n in (10_000, 50))
    t = torch.linspace(0.03, 0.96, 50, dtype=torch.float64)
    torch.testing.assert_close(long.lambda_of_t(t), short.lambda_of_t(t), rtol=1e-11, atol=1e-11)


def test_full_noise_of_a_flow_model_is_sigma_one():
    noise = named_schedule("flow:3")
    assert float(noise.sigma_of_t(t64(1.0))) == 1.0
    assert float(noise.lambda_of_t(t64(1.0))) == -math.inf


def test_betas_and_alphas_cumprod_agree():
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    by_alphas = NoiseSchedule.from_alphas_cumprod(torch.cumprod(1 - betas, 0))
    assert NoiseSchedule.from_betas(betas) == by_alphas == named_schedule("sd15")
    assert by_alphas.sigma_min == pytest.approx(0.0291672, rel=1e-5)
    assert by_alphas.sigma_max == pytest.approx(14.6146, rel=1e-5)


def test_equality_is_by_content():
    assert named_schedule("flow:3") == named_schedule("flow:3.0")
    assert named_schedule("flow:3") != named_schedule("flow:2")
    table = torch.linspace(0.01, 0.9, 100)
    assert NoiseSchedule(table, "vp") != NoiseSchedule(table, "flow")
    assert len({NoiseSchedule(table, "vp"), NoiseSchedule(table.double(), "vp")}) == 1


def test_a_table_that_is_flat_at_its_ends_keeps_its_maps():
    """Stable Cascade clamps its table at both ends."""
    noise = NoiseSchedule(torch.linspace(-0.2, 1.2, 1000, dtype=torch.float64).clamp(0.05, 0.95), "vp")
    t = torch.linspace(0.001, 1, 2000, dtype=torch.float64)
    lam = noise.lambda_of_t(t)
    assert bool((lam[1:] <= lam[:-1]).all()) and bool(lam.isfinite().all())
    assert float(noise.sigma_of_t(t64(1.0))) == pytest.approx(0.95)
    below = t < 0.82
    torch.testing.assert_close(noise.t_of_lambda(lam[below]), t[below], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("table", "family", "meant"),
    [
        ([0.0, 0.25, 0.5, 1.0], "flow", [0.25, 0.5, 1.0]),
        ([0.0, 0.0, 0.5, 2.0], "vp", [0.5, 2.0]),
        ([-1e-9, 0.0, 0.5, 2.0], "vp", [0.5, 2.0]),
        ([0.25, 0.5, 1.0000001], "flow", [0.25, 0.5, 1.0]),
        ([0.25, 0.75, 0.7499995], "flow", [0.25, 0.75, 0.75]),
        ([0.25, 0.2499999, 0.75], "vp", [0.25, 0.25, 0.75]),
    ],
)
def test_what_rounding_has_left_at_the_ends_of_a_table_is_mended(table, family, meant):
    """The host's schedulers make schedules of all these. The time of the first entry above 0 is 1 / T."""
    assert NoiseSchedule(torch.tensor(table), family) == NoiseSchedule(torch.tensor(meant), family)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_table_may_have_any_dtype(dtype):
    assert NoiseSchedule(torch.tensor([0.125, 0.5, 2.0], dtype=dtype)).sigmas.tolist() == [0.125, 0.5, 2.0]


@pytest.mark.parametrize(
    ("table", "family", "message"),
    [
        ([1.0, 2.0, 1.5], "vp", "entry 2 \\(1.5\\) is below entry 1 \\(2\\)"),
        ([3.0, 2.0], "vp", "must increase"),
        ([0.5, 0.9999, 0.99988], "flow", "entry 2 \\(0.99988\\) is below entry 1 \\(0.9999\\)"),
        ([1.0, 1.0, 1.0], "vp", "all sigmas .* are 1"),
        ([0.1, math.nan, 1.0], "vp", "entry 1 .* not a finite number"),
        ([0.1, math.inf], "vp", "entry 1 .* not a finite number"),
        ([0.0, 1.0], "vp", "entry 0 .* must be above 0"),
        ([-1.0, 1.0], "vp", "must be above 0"),
        ([0.1, 1.5], "flow", "largest sigma of a flow model is 1; this table goes to 1.5"),
        ([1.0], "vp", "at least 2 sigmas"),
        ([[0.1, 0.2]], "vp", "shape \\(1, 2\\)"),
        ([0.1, 0.2], "edm", "unknown family 'edm'"),
    ],
)
def test_bad_tables_are_refused(table, family, message):
    with pytest.raises(NoiseScheduleError, match=message):
        NoiseSchedule(torch.tensor(table), family)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sdxl2", "use sd15 .also for SD 2 and SDXL., ddpm, flow:SHIFT or edm:MIN:MAX"),
        ("flow", "write flow:SHIFT"),
        ("flow:x", "must be a number"),
        ("flow:0", "must be above 0"),
        ("flow:nan", "must be above 0"),
        ("edm:1", "write edm:MIN:MAX"),
        ("edm:80:0.002", "0 < MIN < MAX"),
        ("edm:0:80", "0 < MIN < MAX"),
        ("sd15:3", "write sd15"),
    ],
)
def test_bad_names_are_refused(name, message):
    with pytest.raises(NoiseScheduleError, match=message):
        named_schedule(name)


def test_alphas_outside_zero_and_one_are_refused():
    with pytest.raises(NoiseScheduleError, match="between 0 and 1"):
        NoiseSchedule.from_alphas_cumprod(torch.tensor([0.9, 0.0]))


@pytest.mark.parametrize("noise", [named_schedule("sd15"), named_schedule("flow:3")], ids=["vp", "flow"])
@pytest.mark.parametrize("denoise", [0.0005, 0.01, 0.4, 0.999, 1.0])
def test_the_part_below_a_level_is_a_noise_schedule_that_ends_there(noise, denoise):
    start = noise.sigma_of_denoise(denoise)
    part = noise.up_to(start)
    assert part.sigma_max == start and part.family == noise.family
    assert (part.sigmas[1:] > part.sigmas[:-1]).all()
    inner = part.sigmas[:-1][part.sigmas[:-1] >= noise.sigma_min]
    assert torch.isin(inner, noise.sigmas).all() and len(inner) == (noise.sigmas < start).sum()
    assert (denoise == 1) == (part is noise)
