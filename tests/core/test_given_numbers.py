"""Numbers of every kind that other nodes send over a link."""

import dataclasses
import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from hso_core import Settings, SettingsError, named_schedule, optimize_schedule
from hso_core.schedule.baselines import table_sigmas
from hso_core.schedule.numbers import real_number, whole_number
from hso_core.schedule.sigmas import SigmasError, resample_sigmas
from hso_core.schedule.tools import blend, pin_sigma, split_at_sigma, split_at_step, start_at_denoise

EIGHT = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0])
SD = named_schedule("sd15")
SIX = [6, 6.0, np.int64(6), np.uint8(6), np.float32(6), np.array(6), torch.tensor(6), torch.tensor(6.0)]
POINT_SIX = [0.6, np.float64(0.6), np.float32(0.6), np.array(0.6), Fraction(3, 5)]
POINT_SIX += [torch.tensor(0.6), torch.tensor(0.6, dtype=torch.float64)]
NO_NUMBERS = [True, np.True_, torch.tensor(True), None, "6", [6], (6,), np.array([6]), torch.tensor([6]), 6j, {}]


@pytest.mark.parametrize("six", SIX, ids=repr)
def test_a_whole_number_is_one_whatever_it_came_as(six):
    found = whole_number("steps", six, 1, 10)
    assert found == 6 and type(found) is int
    assert real_number("cfg", six) == 6.0 and type(real_number("cfg", six)) is float


@pytest.mark.parametrize("value", POINT_SIX, ids=repr)
def test_a_float_of_few_bits_is_the_decimal_that_was_written(value):
    assert real_number("denoise", value, 0, 1) == 0.6
    with pytest.raises(ValueError, match="^steps is 0.6; it must be a whole number from 1 to 10$"):
        whole_number("steps", value, 1, 10)


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused_by_name(value):
    with pytest.raises(ValueError, match="^steps is .*; it must be a whole number from 1 to 10$"):
        whole_number("steps", value, 1, 10)
    with pytest.raises(ValueError, match="^denoise is .*; it must be a number between 0 and 1$"):
        real_number("denoise", value, 0, 1)


@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, math.nan, 10**400, -(10**400), np.float32("nan"), 1.5], ids=lambda x: str(x)[:9]
)
def test_what_is_out_of_range_is_refused_by_name(value):
    for read in (whole_number, real_number):
        with pytest.raises(SettingsError, match=r"^x is [-\w.]{1,30}; it must be .*1$"):
            read("x", value, 0, 1, SettingsError)
    assert math.isnan(real_number("x", math.nan)) and real_number("x", 10**400) == math.inf


@pytest.mark.parametrize("six", SIX, ids=repr)
def test_every_step_count_may_come_as_any_kind_of_number(six):
    expected = optimize_schedule(SD, 6)
    found = optimize_schedule(SD, six, Settings(population=six, generations=six, seed=six))
    assert len(found.sigmas) == 7 and type(found.steps) is int and json.dumps(found.to_dict())
    assert optimize_schedule(SD, six) is expected, "it is remembered as the same"
    assert resample_sigmas(EIGHT, six).equal(resample_sigmas(EIGHT, 6))
    assert table_sigmas("AYS SDXL", six)[0].equal(table_sigmas("AYS SDXL", 6)[0])
    assert split_at_step(resample_sigmas(EIGHT, 9), six)[0].equal(split_at_step(resample_sigmas(EIGHT, 9), 6)[0])
    assert pin_sigma(EIGHT, six)[0].equal(pin_sigma(EIGHT, 6.0)[0])
    assert split_at_sigma(EIGHT, six)[0].equal(split_at_sigma(EIGHT, 6.0)[0])


@pytest.mark.parametrize("value", POINT_SIX, ids=repr)
def test_every_real_setting_may_come_as_any_kind_of_number(value):
    settings = Settings(denoise=value, tolerance=value, spacing=(value, value), t_min=(value, value))
    plain = Settings(denoise=0.6, tolerance=0.6, spacing=(0.6, 0.6), t_min=(0.6, 0.6))
    assert settings == plain and hash(settings) == hash(plain)
    assert json.dumps(dataclasses.asdict(settings)) == json.dumps(dataclasses.asdict(plain))
    assert blend(EIGHT, EIGHT / 2, value)[0].equal(blend(EIGHT, EIGHT / 2, 0.6)[0])
    assert start_at_denoise(EIGHT, SD, value).equal(start_at_denoise(EIGHT, SD, 0.6))


@pytest.mark.parametrize("value", [*NO_NUMBERS, 6.5], ids=repr)
def test_every_function_refuses_by_name_what_is_no_number(value):
    calls = {
        "steps": [lambda: resample_sigmas(EIGHT, value), lambda: table_sigmas("AYS SDXL", value)],
        "step": [lambda: split_at_step(EIGHT, value)],
    }
    if value != 6.5:
        calls["weight"] = [lambda: blend(EIGHT, EIGHT / 2, value)]
        calls["denoise"] = [lambda: start_at_denoise(EIGHT, SD, value)]
        calls["sigma"] = [lambda: pin_sigma(EIGHT, value), lambda: split_at_sigma(EIGHT, value)]
    for name, those in calls.items():
        for call in those:
            with pytest.raises(SigmasError, match=f"^{name} is "):
                call()
