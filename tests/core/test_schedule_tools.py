"""Blend, split, pin, start later: also where other tools go wrong."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hso_core import NoiseSchedule, named_schedule, optimize_schedule
from hso_core.schedule.sigmas import SigmasError, resample_sigmas
from hso_core.schedule.tools import (
    as_schedule,
    blend,
    check_flipped,
    end_at_denoise,
    flip,
    join,
    pin_sigma,
    scale,
    shift,
    split_at_sigma,
    split_at_step,
    start_at_denoise,
)

EIGHT = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0])
WAN = torch.tensor([1, 0.9722224, 0.9375001, 0.8928571, 0.8333333, 0.7500001, 0.625, 0.4166667, 0.0])
SD, FLOW = named_schedule("sd15"), named_schedule("flow:3")


@st.composite
def schedules(draw, low: int = 3, high: int = 20) -> torch.Tensor:
    """Schedules whose neighbours are at least 1 % apart."""
    ratios = draw(st.lists(st.floats(1.01, 3), min_size=low, max_size=high))
    values = (torch.tensor(ratios).double().cumprod(0) * draw(st.floats(1e-3, 1))).flip(0).float()
    return torch.cat([values, torch.zeros(1)]) if draw(st.booleans()) else values


def assert_schedule(sigmas: torch.Tensor) -> None:
    assert sigmas.dtype == torch.float32 and bool((sigmas.diff() < 0).all()) and bool(sigmas.isfinite().all())


def test_what_a_node_was_given_is_checked_and_copied():
    given_ = torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64)
    made = as_schedule(given_)
    made[0] = 5
    assert made.dtype == torch.float32 and given_[0] == 3
    with pytest.raises(SigmasError, match="at least 2 sigmas"):
        as_schedule(torch.FloatTensor([]))  # BasicScheduler at denoise 0


def test_a_blend_lies_between_in_the_logarithm():
    mixed, note = blend(EIGHT, torch.tensor([2.0, 1.0, 0.5, 0.25, 0.0]), 0.5)
    assert mixed.tolist() == pytest.approx([4, 2, 1, 0.5, 0]) and note.startswith("50% of the first schedule and 50%")
    assert torch.equal(blend(EIGHT, EIGHT / 3, 0)[0], EIGHT)


def test_a_blend_of_different_lengths_resamples_the_shorter_one_and_says_so():
    mixed, note = blend(EIGHT, WAN, 1)
    assert torch.equal(mixed, WAN) and note.endswith("The first one has 4 steps and was resampled to 8.")
    mixed, note = blend(WAN, EIGHT, 0.3)
    assert len(mixed) == 9 and note.endswith("The second one has 4 steps and was resampled to 8.")


def test_a_blend_resamples_by_the_method_that_was_asked_for():
    longer = resample_sigmas(WAN, 12)
    straight, monotone = (blend(WAN, longer, 0, method)[0] for method in ("log-linear", "monotone"))
    assert torch.equal(straight, resample_sigmas(WAN, 12)) and torch.equal(
        monotone, resample_sigmas(WAN, 12, "monotone")
    )
    assert not torch.equal(straight, monotone)


def test_a_blend_with_a_schedule_that_leaves_noise_says_how_much():
    for first, second in ((EIGHT, EIGHT[:2]), (EIGHT[:2], EIGHT)):
        with pytest.raises(SigmasError, match="one schedule ends at 0 and the other at 4"):
            blend(first, second, 0.5)


@given(first=schedules(), second=schedules(), weight=st.floats(0, 1))
def test_a_blend_is_always_a_schedule(first, second, weight):
    if (first[-1] == 0) != (second[-1] == 0):
        with pytest.raises(SigmasError, match="one schedule ends at 0 and the other at"):
            blend(first, second, weight)
        return
    mixed, _ = blend(first, second, weight)
    assert_schedule(mixed)
    assert len(mixed) == max(len(first), len(second))


def test_splitting_at_a_step_shares_the_boundary():
    high, low = split_at_step(EIGHT, 3)
    assert high.tolist() == [8, 4, 2, 1] and low.tolist() == [1, 0]


@pytest.mark.parametrize("step", [-1, 0, 4, 99])
def test_no_part_of_a_split_is_ever_empty(step):
    """ComfyUI's SplitSigmasDenoise gives an empty high part for denoise 0."""
    with pytest.raises(SigmasError, match=f"step is {step}; a schedule of 4 steps can be split at step 1 to 3"):
        split_at_step(EIGHT, step)


@pytest.mark.parametrize("boundary", [0.875, 0.9])  # Wan 2.2, text and image to video
def test_splitting_at_a_boundary_sends_each_step_to_its_model(boundary):
    high, low = split_at_sigma(WAN, boundary, insert=False)
    assert bool((high[:-1] >= boundary).all()) and bool((low[:-1] < boundary).all())
    assert torch.equal(torch.cat([high, low[1:]]), WAN)
    high, low = split_at_sigma(WAN, boundary)
    assert float(high[-1]) == float(low[0]) == pytest.approx(boundary)
    assert len(high) + len(low) == len(WAN) + 2


@pytest.mark.parametrize("boundary", [0.8333333, 0.833335], ids=["exact", "rounded"])
def test_a_boundary_that_is_there_already_is_not_inserted_again(boundary):
    for insert in (True, False):
        high, low = split_at_sigma(WAN, boundary, insert)
        assert torch.equal(high, WAN[:5]) and torch.equal(low, WAN[4:])


@given(sigmas=schedules(), part=st.floats(0.001, 0.999), insert=st.booleans())
def test_both_parts_of_a_split_are_schedules(sigmas, part, insert):
    boundary = float(sigmas[-1]) + part * float(sigmas[0] - sigmas[-1])
    try:
        high, low = split_at_sigma(sigmas, boundary, insert)
    except SigmasError as error:
        assert "no step starts below" in str(error) or "must lie between" in str(error)
        return
    assert_schedule(high), assert_schedule(low)
    assert float(high[-1]) == float(low[0])
    assert set(sigmas.tolist()) <= set(high.tolist() + low.tolist())


@pytest.mark.parametrize("insert", [True, False])
@pytest.mark.parametrize("boundary", [8.0, 7.99999, 20.0, float("inf")])
def test_a_schedule_that_starts_at_the_boundary_or_below_is_all_low(boundary, insert):
    """Video to video at low denoise: the first of the two models has nothing to do."""
    high, low = split_at_sigma(EIGHT, boundary, insert)
    assert high.tolist() == [8] and torch.equal(low, EIGHT) and low.data_ptr() != EIGHT.data_ptr()


def test_boundaries_outside_are_refused():
    for boundary in (8.0, 20.0, 0.0, -1.0, float("nan")):
        if not boundary >= 8:
            with pytest.raises(SigmasError, match="must lie between the schedule's ends, 8 and 0"):
                split_at_sigma(EIGHT, boundary)
        with pytest.raises(SigmasError, match="must lie between the schedule's ends, 8 and 0"):
            pin_sigma(EIGHT, boundary)
    with pytest.raises(SigmasError, match="no step starts below sigma 0.5: the last one starts at 1; insert"):
        split_at_sigma(EIGHT, 0.5, insert=False)


def test_pinning_moves_the_nearest_inner_value_only():
    pinned, place = pin_sigma(WAN, 0.875)
    assert place == 3 and float(pinned[3]) == 0.875 and torch.equal(pinned[4:], WAN[4:])
    assert pin_sigma(EIGHT, 7.9)[0].tolist() == pytest.approx([8, 7.9, 2, 1, 0])  # never the start
    assert pin_sigma(EIGHT, 0.01)[0].tolist() == pytest.approx([8, 4, 2, 0.01, 0])  # never the end
    assert pin_sigma(EIGHT, 2.9)[0].tolist() == pytest.approx([8, 2.9, 2, 1, 0])  # nearest in the logarithm
    with pytest.raises(SigmasError, match="has no inner value"):
        pin_sigma(torch.tensor([1.0, 0.0]), 0.5)


@given(sigmas=schedules(), part=st.floats(0.001, 0.999))
def test_pinning_always_gives_a_schedule_with_the_value(sigmas, part):
    value = float(sigmas[-1]) + part * float(sigmas[0] - sigmas[-1])
    try:
        pinned, place = pin_sigma(sigmas, value)
    except SigmasError as error:
        assert "must lie between" in str(error)
        return
    assert_schedule(pinned)
    assert float(pinned[place]) == pytest.approx(value, rel=1e-6) and len(pinned) == len(sigmas)


def test_starting_at_a_denoise_level_is_where_optimize_schedule_starts():
    for noise, name in ((SD, "sd15"), (FLOW, "flow:3")):
        schedule = torch.tensor(optimize_schedule(named_schedule(name), 6).sigmas)
        kept, cut = (start_at_denoise(schedule, noise, 0.5, keep) for keep in (True, False))
        expected = float(noise.sigma_of_t(torch.tensor(0.5, dtype=torch.float64)))
        assert len(kept) == 7 and float(kept[0]) == float(cut[0]) == pytest.approx(expected)
        assert set(cut[1:].tolist()) == {value for value in schedule.tolist() if value < expected}
        assert_schedule(kept), assert_schedule(cut)


@pytest.mark.parametrize("noise", [SD, FLOW], ids=["vp", "flow"])
@pytest.mark.parametrize("steps", [1, 3, 7])
def test_the_end_of_a_longer_schedule_has_the_steps_that_are_asked_for(noise, steps):
    longer = optimize_schedule(noise, 12).to_tensor()
    end = end_at_denoise(longer, noise, 0.5, steps)
    assert len(end) == steps + 1 and float(end[0]) == pytest.approx(noise.sigma_of_denoise(0.5)) and end[-1] == 0
    if steps > 1:
        assert end[-2] == longer[-2]


def test_a_schedule_with_nothing_below_the_level_has_no_end_of_several_steps():
    high = torch.tensor([14.0, 9.0, 5.0, 0.0])
    with pytest.raises(SigmasError, match="a schedule of 1 step cannot be resampled to 4"):
        end_at_denoise(high, SD, 0.3, 4)


def test_full_denoise_changes_nothing():
    schedule = torch.tensor(optimize_schedule(SD, 6).sigmas)  # starts slightly below sigma_max
    for keep in (True, False):
        same = start_at_denoise(schedule, SD, 1.0, keep)
        assert torch.equal(same, schedule) and same is not schedule


@given(sigmas=schedules(), denoise=st.floats(0.01, 1), keep=st.booleans(), noise=st.sampled_from([SD, FLOW]))
def test_starting_later_always_gives_a_schedule(sigmas, denoise, keep, noise):
    try:
        result = start_at_denoise(sigmas, noise, denoise, keep)
    except SigmasError as error:
        assert "use a larger denoise" in str(error)
        return
    assert_schedule(result)
    assert len(result) == len(sigmas) if keep else len(result) <= len(sigmas)


def test_a_small_denoise_keeps_its_steps_too():
    """Where nothing of the schedule is left below the start, the model's sigma_min makes room."""
    result = start_at_denoise(EIGHT, SD, 0.05)
    assert len(result) == 5 and float(result[-2]) == pytest.approx(SD.sigma_min)
    assert_schedule(result)


@pytest.mark.parametrize("denoise", [0.0005, 0.001, 0.01, 0.02, 0.03])
def test_below_the_first_level_of_a_short_table_there_is_room_too(denoise):
    """The LCM patch has 50 levels, of which the first is at t = 0.02; SD's is at 0.001."""
    for noise in (SD, NoiseSchedule(SD.sigmas[19::20])):
        schedule = optimize_schedule(noise, 6).to_tensor()
        result = start_at_denoise(schedule, noise, denoise)
        assert_schedule(result)
        assert len(result) == 7 and float(result[0]) == pytest.approx(
            float(noise.sigma_of_t(torch.tensor(denoise, dtype=torch.float64)))
        )


def test_bad_requests_are_refused():
    for weight in (2, -0.1):
        with pytest.raises(SigmasError, match=f"weight is {weight}; it must be 0"):
            blend(EIGHT, EIGHT / 2, weight)
    for denoise in (0.0, -1.0, 2.0, float("nan")):
        with pytest.raises(SigmasError, match="it must be above 0, and at most 1"):
            start_at_denoise(EIGHT, SD, denoise)
    with pytest.raises(SigmasError, match="denoise 0.1 starts at sigma .* use a larger denoise"):
        start_at_denoise(torch.tensor([8.0, 4.0]), SD, 0.1)


@given(schedules(), st.floats(0.01, 100))
def test_a_scaled_schedule_is_so_many_times_as_large(sigmas, factor):
    scaled = scale(sigmas, factor)
    assert_schedule(scaled)
    assert torch.allclose(scaled, factor * sigmas) and torch.equal(scale(sigmas, 1), sigmas)


def test_a_shift_is_that_of_the_models_own_shift():
    """flow:3 is flow:1 shifted by 3."""
    unshifted = optimize_schedule(named_schedule("flow:1"), 6).to_tensor()
    table = named_schedule("flow:1").sigmas.flip(0)
    assert torch.allclose(shift(table.float(), FLOW, 3), FLOW.sigmas.flip(0).float(), rtol=1e-5)
    shifted = shift(unshifted, FLOW, 3)
    assert_schedule(shifted)
    assert shifted[0] == unshifted[0] == 1 and shifted[-1] == 0 and bool((shifted[1:-1] > unshifted[1:-1]).all())
    assert torch.allclose(shift(shifted, FLOW, 1 / 3), unshifted, atol=1e-6)


@given(schedules(low=4), st.data())
def test_join_undoes_a_split(sigmas, data):
    high, low = split_at_step(sigmas, data.draw(st.integers(1, len(sigmas) - 2)))
    assert torch.equal(join(high, low), sigmas)


def test_a_join_goes_over_to_the_second_where_that_starts():
    assert join(EIGHT, torch.tensor([3.0, 0.5, 0.0])).tolist() == [8, 4, 3, 0.5, 0]
    assert join(EIGHT, torch.tensor([2.0, 0.5])).tolist() == [8, 4, 2, 0.5]


@given(schedules())
def test_a_flipped_schedule_rises_from_above_zero_through_the_same_values(sigmas):
    flipped = flip(sigmas)
    assert flipped[0] > 0 and bool((flipped.diff() > 0).all())
    assert torch.equal(flipped[1:], sigmas.flip(0)[1:]) and torch.equal(check_flipped(flipped, SD), flipped)


def test_a_split_that_keeps_the_number_of_steps():
    high, low = split_at_sigma(WAN, 0.875, keep_steps=True)
    assert high[-1] == low[0] == 0.875 and len(high) + len(low) - 2 == len(WAN) - 1
    assert torch.equal(torch.cat([high, low[1:]]), pin_sigma(WAN, 0.875)[0])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda: scale(EIGHT, 0), "factor is 0; it must be above 0"),
        (lambda: scale(EIGHT, float("inf")), "factor is inf"),
        (lambda: shift(WAN, FLOW, -1), "factor is -1"),
        (lambda: shift(EIGHT, SD, 2), "only schedules of flow models"),
        (lambda: shift(EIGHT, FLOW, 2), "starts at 8; that of a flow model starts at most at 1"),
        (lambda: join(EIGHT, EIGHT), "nothing of the first schedule, which starts at 8, lies above"),
        (lambda: check_flipped(flip(WAN), FLOW), "must end below 1"),
        (lambda: check_flipped(EIGHT, SD), "sigmas must fall|is not below"),
    ],
)
def test_what_cannot_be_done_is_said(edit, message):
    with pytest.raises(SigmasError, match=message):
        edit()
