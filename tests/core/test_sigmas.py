"""Schedules as text: reading, printing, checking and resampling."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import pchip_interpolate

import sigma_texts
from hso_core import NoiseSchedule, named_schedule
from hso_core.schedule.sigmas import (
    SigmasError,
    check_range,
    check_sigmas,
    describe_high_start,
    describe_low_start,
    parse_sigmas,
    plain_decimal,
    print_sigmas,
    resample_sigmas,
)

TURBO = [1.0, 0.6509, 0.4374, 0.2932, 0.1893, 0.1108, 0.0495, 0.00031, 0.0]  # FLUX.2-dev-Turbo, 8 steps


@pytest.mark.parametrize(("text", "values"), sigma_texts.READ)
def test_texts_that_people_write(text, values):
    assert parse_sigmas(text).tolist() == torch.tensor(values, dtype=torch.float32).tolist()


@pytest.mark.parametrize(("text", "message"), sigma_texts.REFUSED, ids=lambda text: repr(text[:40]))
def test_bad_texts_are_refused(text, message):
    with pytest.raises(SigmasError, match=message):
        parse_sigmas(text)


def test_a_long_paste_is_refused_at_once():
    with pytest.raises(SigmasError, match="values are too many; a schedule has at most 10001"):
        parse_sigmas("1, " * 3_000_000)
    with pytest.raises(SigmasError, match=r"'aaaa.*\.\.\.', value 1, is not a number"):
        parse_sigmas("a" * 900_000)


@given(st.text(max_size=60))
def test_any_text_gives_a_schedule_or_a_clear_error(text):
    try:
        sigmas = parse_sigmas(text)
    except SigmasError as error:
        assert 10 < len(str(error)) < 250
    else:
        assert bool((sigmas[1:] < sigmas[:-1]).all()) and float(sigmas[-1]) >= 0


@given(st.lists(st.floats(0, 1e5, width=32), min_size=2, max_size=40, unique=True))
def test_printing_is_exact_and_without_exponents(values):
    sigmas = torch.tensor(sorted(values, reverse=True), dtype=torch.float32)
    text = print_sigmas(sigmas)
    assert "e" not in text.lower()
    assert torch.equal(parse_sigmas(text), sigmas)


def test_plain_decimals():
    assert [plain_decimal(x) for x in (14.614641, 1.0, 0.0, 1e-7, 0.1)] == ["14.614641", "1", "0", "0.0000001", "0.1"]


def test_tensors_are_checked():
    with pytest.raises(SigmasError, match="value 2 is nan"):
        check_sigmas(torch.tensor([1.0, float("nan"), 0.0]))
    with pytest.raises(SigmasError, match=r"not shape \(2, 2\)"):
        check_sigmas(torch.ones(2, 2))


def test_a_start_above_the_model_is_refused():
    schedule, sd, flow = torch.tensor([14.615, 1.0, 0.0]), named_schedule("sd15"), named_schedule("flow:3")
    assert check_range(schedule, sd) is schedule  # rounded lists are meant to start at sigma_max
    with pytest.raises(SigmasError, match="starts at sigma 14.615, but the largest of this flow model is 1"):
        check_range(schedule, flow)
    with pytest.raises(SigmasError, match="starts at sigma 700"):
        check_range(torch.tensor([700.0, 1.0, 0.0]), sd)


def test_a_start_above_the_table_is_odd_and_for_a_flow_model_impossible():
    sd, flow = named_schedule("sd15"), named_schedule("flow:3")
    assert describe_high_start(torch.tensor([14.7, 1.0, 0.0]), sd) is None
    said = describe_high_start(torch.tensor([20000.0, 1.0, 0.0]), sd)
    assert said.startswith(
        "the schedule starts at sigma 20000, above the largest of this model, 14.6146: the model takes"
    )
    with pytest.raises(SigmasError, match="starts at sigma 14.7, but the largest of this flow model is 1"):
        describe_high_start(torch.tensor([14.7, 1.0, 0.0]), flow)
    cut = NoiseSchedule(flow.sigmas[:900], "flow")  # a flow model's table may end below 1; above its end is still noise
    assert "above the largest of this model, 0.964" in describe_high_start(torch.tensor([1.0, 0.5, 0.0]), cut)


@pytest.mark.parametrize(("name", "largest"), [("sd15", 14.6146), ("flow:3", 1.0)])
def test_a_start_may_be_one_percent_above_the_model(name, largest):
    noise = named_schedule(name)
    check_range(torch.tensor([1.009 * largest, 0.1, 0.0]), noise)
    with pytest.raises(SigmasError, match=f"but the largest of this .*model is {largest:g}"):
        check_range(torch.tensor([1.011 * largest, 0.1, 0.0]), noise)


def test_a_start_far_below_the_models_noise_is_described():
    sd, flow = named_schedule("sd15"), named_schedule("flow:3")
    ours = torch.tensor([1.0, 0.8, 0.0])
    assert describe_low_start(ours, flow) is None
    assert describe_low_start(torch.tensor([11.5, 3.0, 0.0]), sd) is None
    assert "starts at sigma 1, which is 35% of this model's noise (its largest sigma is 14.6146)" in describe_low_start(
        ours, sd
    )


def test_resampling_to_its_own_step_count_changes_nothing():
    sigmas = torch.tensor(TURBO)
    same = resample_sigmas(sigmas, 8)
    assert torch.equal(same, sigmas) and same is not sigmas


def test_resampling_is_linear_in_the_logarithm_and_keeps_the_ends():
    sigmas = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0])
    assert resample_sigmas(sigmas, 7).tolist() == pytest.approx([8, 8**0.5 * 2, 4, 8**0.5, 2, 2**0.5, 1, 0], rel=1e-6)
    assert resample_sigmas(sigmas, 1).tolist() == [8, 0]
    assert resample_sigmas(sigmas, 2).tolist() == [8, 1, 0]
    without_zero = resample_sigmas(torch.tensor([4.0, 2.0, 1.0]), 4)
    assert without_zero.tolist() == pytest.approx([4, 8**0.5, 2, 2**0.5, 1], rel=1e-6)


@pytest.mark.parametrize("method", ["log-linear", "monotone"])
@given(
    values=st.lists(st.floats(0.0009765625, 1000, width=32), min_size=2, max_size=20, unique=True),
    zero=st.booleans(),
    steps=st.integers(1, 60),
)
def test_resampling_always_gives_a_schedule(method, values, zero, steps):
    sigmas = torch.tensor(sorted(values, reverse=True) + ([0.0] if zero else []), dtype=torch.float32)
    if bool((sigmas.diff() > -1e-3 * sigmas[:-1]).any()):
        return  # neighbours so close that float32 holds no 60 values between them
    result = resample_sigmas(sigmas, steps, method)
    assert len(result) == steps + 1 and result.dtype == torch.float32
    assert float(result[0]) == float(sigmas[0]) and float(result[-1]) == float(sigmas[-1])
    assert bool((result[1:] < result[:-1]).all())


def test_monotone_resampling_goes_through_the_values():
    sigmas = torch.tensor(TURBO)
    fine = resample_sigmas(sigmas, 15, "monotone")  # 15 values above 0 where there were 8: every second one is old
    np.testing.assert_allclose(fine[:-1:2].numpy(), sigmas[:-1].numpy(), rtol=1e-5)


def test_monotone_resampling_is_pchip_in_the_logarithm():
    fine = resample_sigmas(torch.tensor(TURBO), 15, "monotone")[:-1].numpy()
    expected = np.exp(pchip_interpolate(np.arange(8), np.log(TURBO[:-1]), np.arange(15) / 2))
    np.testing.assert_allclose(fine, expected, rtol=1e-5)
    straight = resample_sigmas(torch.tensor(TURBO), 15)[:-1].numpy()
    assert np.abs(straight / expected - 1).max() > 0.05


@pytest.mark.parametrize(
    ("steps", "method", "message"),
    [(0, "log-linear", "steps is 0"), (4, "cubic", "resampling is 'cubic'"), (4, "monotone", "of 1 step cannot be")],
)
def test_bad_resamplings_are_refused(steps, method, message):
    with pytest.raises(SigmasError, match=message):
        resample_sigmas(torch.tensor([1.0, 0.0]), steps, method)
