"""The published schedules are those of their sources."""

import pytest
import torch

from hso_core import named_schedule
from hso_core.schedule.baselines import TABLES, describe_mismatch, shift_of, table_sigmas, tables_for
from hso_core.schedule.sigmas import SigmasError, check_range, check_sigmas

SD, FLOW = named_schedule("sd15"), named_schedule("flow:3")


@pytest.mark.parametrize(
    ("name", "steps", "expected"),  # what ComfyUI 0.8.0's own nodes return
    [
        ("AYS SD 1.5", 4, [14.6146, 3.2266, 1.3944, 0.5094, 0]),
        ("AYS SD 1.5", 6, [14.6146, 4.5892, 2.3917, 1.3944, 0.7431, 0.2883, 0]),
        ("AYS SD 1.5", 8, [14.6146, 5.6906, 3.2266, 2.0605, 1.3944, 0.8745, 0.5094, 0.1929, 0]),
        ("AYS SDXL", 4, [14.6146, 2.8669, 0.8621, 0.2977, 0]),
        ("AYS SDXL", 8, [14.6146, 5.5525, 2.8669, 1.5140, 0.8621, 0.5049, 0.2977, 0.1340, 0]),
        ("AYS SVD", 10, [700, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0]),
        ("GITS SD 1.5", 4, [14.61464119, 2.36326075, 0.92192322, 0.36617002, 0]),
        ("GITS SD 1.5", 8, [14.6146, 5.8552, 2.4507, 1.36964, 0.803307, 0.455737, 0.250534, 0.0982453, 0]),
        ("OSS Flux", 4, [0.997, 0.978, 0.947, 0.676, 0]),
        ("OSS Wan", 4, [1, 0.989, 0.973, 0.902, 0]),
        ("Wan 2.2 Lightning", 4, [1, 0.9375001, 0.8333333, 0.625, 0]),
        ("Qwen-Image 2.1 Turbo", 8, [1, 0.978453, 0.95418, 0.926626, 0.89508, 0.845148, 0.704534, 0.414568, 0]),
        ("LTX-2.3 distilled, stage 2", 3, [0.85, 0.725, 0.4219, 0]),
        ("FLUX.2 dev Turbo", 8, [1, 0.6509, 0.4374, 0.2932, 0.1893, 0.1108, 0.0495, 0.00031, 0]),
    ],
)
def test_known_values(name, steps, expected):
    sigmas, note = table_sigmas(name, steps)
    assert sigmas.tolist() == pytest.approx(expected, abs=6e-4 if name.startswith("OSS") else 6e-5)
    assert note.startswith("The published values") == (steps in TABLES[name].lists)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 7, 20, 41, 300])
def test_every_preset_keeps_the_contract(name, steps):
    sigmas, _ = table_sigmas(name, steps)
    table = TABLES[name]
    assert len(sigmas) == (steps or max(table.lists)) + 1
    assert sigmas.dtype == torch.float32 and float(sigmas[-1]) == 0
    assert float(sigmas[0]) == pytest.approx(table.lists[table.step_counts[0]][0])
    check_sigmas(sigmas)


@pytest.mark.parametrize("name", TABLES)
def test_published_values_stay_as_they_are(name):
    table = TABLES[name]
    assert table.source and table.suits
    for steps, values in table.lists.items():
        assert len(values) == steps + 1
        assert table_sigmas(name, steps)[0][:-1].tolist() == torch.tensor(values[:-1]).tolist()


def test_align_your_steps_lies_on_the_models_timesteps():
    timesteps = {
        "AYS SD 1.5": [999, 850, 736, 645, 545, 455, 343, 233, 124, 24, 0],
        "AYS SDXL": [999, 845, 730, 587, 443, 310, 193, 116, 53, 13, 0],
    }
    for name, steps in timesteps.items():
        assert TABLES[name].lists[10] == pytest.approx(SD.sigmas[steps].tolist(), abs=1e-4)


def test_turbo_lists_are_the_models_sigmas_at_their_timesteps():
    for steps, values in TABLES["SD-Turbo"].lists.items():
        assert values == pytest.approx([*SD.sigmas[[999 - 100 * i for i in range(steps)]].tolist(), 0], rel=1e-6)
    for name in ("Wan 2.2 Lightning", "MiniMax-H3"):
        for steps, values in TABLES[name].lists.items():
            t, shift = torch.arange(steps, -1, -1).double() / steps, TABLES[name].shift
            assert values == pytest.approx((shift * t / (1 + (shift - 1) * t)).tolist(), abs=1e-4)


def test_tables_for_a_model_fit_its_range_and_family():
    assert tables_for(SD) == ["AYS SD 1.5", "AYS SDXL", "GITS SD 1.5", "DM-NonUniform SD"]
    assert tables_for(FLOW) == ["OSS Flux", "OSS Wan", "OSS Chroma"]
    assert tables_for(named_schedule("edm:0.002:700")) == ["AYS SVD"]
    assert tables_for(named_schedule("edm:0.01:50")) == []
    for noise in (SD, FLOW):
        for name in tables_for(noise):
            check_range(table_sigmas(name, 5)[0], noise)


def test_a_step_count_that_was_not_published_is_said():
    assert (
        "Not published for 6 steps (but for 4, 8): interpolated in ln sigma from the 8-step list. A distilled"
        in (table_sigmas("Wan 2.2 Lightning", 6)[1])
    )
    assert table_sigmas("GITS SD 1.5", 40)[1].endswith("from the 20-step list.")


def test_mismatches_are_described():
    assert describe_mismatch("AYS SDXL", SD) is None and describe_mismatch("OSS Flux", FLOW) is None
    assert "made for SDXL, a diffusion model" in describe_mismatch("AYS SDXL", FLOW)
    assert describe_mismatch("OSS Wan", FLOW) == "OSS Wan was made for shift 8; the connected model has shift 3"
    assert describe_mismatch("OSS Wan", named_schedule("flow:8")) is None
    assert [shift_of(named_schedule(f"flow:{shift}")) for shift in (1, 5, 12)] == pytest.approx([1, 5, 12])
    assert shift_of(SD) is None


def test_bad_requests_are_refused():
    with pytest.raises(SigmasError, match="there is no preset 'AYS'; it must be one of AYS SD 1.5"):
        table_sigmas("AYS", 4)
    with pytest.raises(SigmasError, match="steps is -1; it must be 0"):
        table_sigmas("AYS SDXL", -1)


def test_the_order_of_the_list_never_changes():
    """New ones go to the end: the first is the default."""
    assert list(TABLES) == [
        "AYS SD 1.5", "AYS SDXL", "AYS SVD", "GITS SD 1.5", "DM-NonUniform SD", "OSS Flux", "OSS Wan", "OSS Chroma",
        "SD-Turbo", "FLUX.2 dev Turbo", "Wan 2.2 Lightning", "LTX-2 distilled", "LTX-2 distilled, stage 2",
        "MiniMax-H3", "Qwen-Image 2.1 Turbo", "LTX-2.3 distilled, stage 2",
    ]  # fmt: skip


def test_only_a_table_that_continues_starts_below_its_models_noise():
    starts = {name: table.lists[table.step_counts[0]][0] for name, table in TABLES.items() if table.family == "flow"}
    assert {name for name, start in starts.items() if start < 0.95} == {n for n, t in TABLES.items() if t.continues}
