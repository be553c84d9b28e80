"""The whole method: the paper's numbers, the scipy reference as oracle, and the contract of every schedule."""

import json
import math
from pathlib import Path

import pytest
import torch

from hso_core import MAX_STEPS, NoiseSchedule, Settings, SettingsError, named_schedule, optimize_schedule
from hso_core.method import optimizer
from hso_core.method.problem import Problem

NAMES = ("sd15", "ddpm", "flow:1", "flow:3", "edm:0.002:80")
GOLDENS = json.loads((Path(__file__).parent / "reference_goldens.json").read_text())
NO_SPACING = Settings(gamma=0)

# Table, K, schedule as round(999 t), J: the numbers of the paper's method between t = 0.96 and 0.03. The first row is
# the one schedule that the paper prints.
PAPER = [
    ("ddpm", 3, [959, 716, 370, 30], 6.31618),
    ("ddpm", 5, [959, 827, 670, 474, 250, 30], 5.60061),
    ("sd15", 3, [959, 708, 376, 30], 3.19675),
    ("sd15", 4, [959, 782, 557, 292, 30], 3.09602),
    ("sd15", 5, [959, 822, 655, 459, 239, 30], 3.05128),
    ("sd15", 8, [959, 877, 785, 680, 564, 436, 299, 155, 30], 3.00410),
    ("sd15", 10, [959, 894, 823, 745, 659, 565, 463, 355, 242, 128, 30], 2.99339),
]


@pytest.mark.parametrize(("name", "intervals", "timesteps", "objective"), PAPER)
def test_numbers_of_the_paper(name, intervals, timesteps, objective):
    found = optimize_schedule(named_schedule(name), intervals + 1, NO_SPACING)
    assert list(found.timesteps) == pytest.approx(timesteps, abs=1)
    assert found.objective == pytest.approx(objective, abs=2e-5)
    assert (found.t_min, found.t_max) == pytest.approx((0.03, 0.96), abs=1e-9)


@pytest.mark.parametrize(("name", "intervals", "timesteps", "objective"), [row for row in PAPER if row[1] <= 5])
def test_numbers_of_the_paper_with_its_spacing_penalty(name, intervals, timesteps, objective):
    """Up to six steps the penalty can be met, and costs next to nothing."""
    found = optimize_schedule(named_schedule(name), intervals + 1)
    assert list(found.timesteps) == pytest.approx(timesteps, abs=1)
    assert found.objective == pytest.approx(objective, abs=3e-3)
    assert found.spacing_met and found.penalty < 1e-6


def test_the_unipc_mapping_uses_as_many_intervals_as_steps():
    found = optimize_schedule(named_schedule("sd15"), 4, Settings(mapping="unipc"))
    assert list(found.timesteps) == [959, 782, 557, 292, 30]
    assert len(found.sigmas) == 5 and found.sigmas[-1] > 0


def test_spacing_that_cannot_be_met_widens_the_range():
    """What the released code printed for SD, DDIM, 8 steps: 999, 900, 785, 652, 500, 331, 153, 9 (as 1000 t - 1)."""
    found = optimize_schedule(named_schedule("sd15"), 8)
    assert list(found.timesteps) == pytest.approx([999, 900, 785, 652, 500, 331, 153, 9], abs=1)
    assert (found.t_min, found.t_max) == pytest.approx((0.01, 1.0), abs=1e-9)
    assert not found.spacing_met and found.penalty > 1e5


@pytest.mark.slow
@pytest.mark.parametrize("golden", GOLDENS, ids=lambda g: f"{g['schedule']}-{g['steps']}")
def test_never_worse_than_the_reference(golden):
    found = optimize_schedule(named_schedule(golden["schedule"]), golden["steps"])
    assert found.fitness <= golden["fitness"] * (1 + 1e-6)


def test_goldens_are_complete():
    assert {(g["schedule"], g["steps"]) for g in GOLDENS} == {
        (name, steps) for name in ("sd15", "ddpm", "flow:3", "edm:0.002:80") for steps in range(2, 21)
    }


@pytest.mark.slow
@pytest.mark.parametrize(("name", "steps"), [("ddpm", 4), ("sd15", 5), ("flow:3", 4)])
def test_reference_run_live(name, steps):
    noise = named_schedule(name)
    slow, fast = (optimize_schedule(noise, steps, backend=backend) for backend in ("scipy", "torch"))
    assert fast.fitness <= slow.fitness * (1 + 1e-6)
    assert fast.fitness == pytest.approx(slow.fitness, rel=1e-4)
    assert fast.sigmas == pytest.approx(slow.sigmas, rel=1e-3)
    golden = next(g for g in GOLDENS if (g["schedule"], g["steps"]) == (name, steps))
    assert slow.fitness == pytest.approx(golden["fitness"], rel=1e-5)


def assert_contract(found, noise, steps):
    sigmas = found.to_tensor()
    assert sigmas.shape == (steps + 1,) and sigmas.dtype == torch.float32 and sigmas.device.type == "cpu"
    assert bool(sigmas.isfinite().all()) and bool((sigmas[1:] < sigmas[:-1]).all()) and float(sigmas[-1]) == 0
    assert float(sigmas[0]) <= torch.tensor(noise.sigma_max).float()
    assert len(found.timesteps) == steps and all(math.isfinite(x) for x in found.lambdas)
    bounds = Problem(noise, steps, found.settings).bounds
    psi = torch.tensor([found.rho, found.t_min, found.t_max], dtype=torch.float64)
    assert bool(((psi >= bounds[:, 0]) & (psi <= bounds[:, 1])).all())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_contract_for_every_step_count(name):
    noise = named_schedule(name)
    for steps in (*range(1, 31), 50, 100):
        assert_contract(optimize_schedule(noise, steps), noise, steps)


@pytest.mark.parametrize("denoise", [0.9, 0.5, 0.1, 0.01])
@pytest.mark.parametrize("name", NAMES)
def test_denoise_keeps_the_steps_and_starts_at_its_noise_level(name, denoise):
    noise = named_schedule(name)
    level = float(noise.sigma_of_t(torch.tensor(denoise, dtype=torch.float64)))
    for steps in (1, 2, 4, 8, 20):
        searched, exact = (
            optimize_schedule(noise, steps, Settings(denoise=denoise, start=s)) for s in ("searched", "sigma_max")
        )
        assert_contract(searched, noise, steps)
        assert_contract(exact, noise, steps)
        assert exact.sigmas[0] == pytest.approx(level, rel=1e-6)
        assert 0.96 * denoise - 1e-9 <= searched.t_max <= denoise


def test_denoise_scales_the_bounds_of_t_and_the_least_distance():
    """A part of the schedule is as fine as the whole one, and ends as near to its own end."""
    whole, half = (Problem(named_schedule("sd15"), 6, Settings(denoise=d)) for d in (1.0, 0.5))
    assert half.d_min == pytest.approx(0.5 * whole.d_min)
    assert half.bounds[1:].tolist() == [pytest.approx(row) for row in (0.5 * whole.bounds[1:]).tolist()]


@pytest.mark.parametrize("length", [2, 50, 1000, 10_000])
def test_tables_of_any_length(length):
    noise = NoiseSchedule(torch.linspace(1 / length, 1, length), "flow")
    vp = NoiseSchedule(torch.logspace(-1.5, 1.2, length), "vp")
    for table in (noise, vp):
        for steps in (1, 2, 5, 12):
            found = optimize_schedule(table, steps)
            assert_contract(found, table, steps)
            if length != 1000:
                assert all(isinstance(t, float) for t in found.timesteps)


def test_a_short_table_is_not_left_at_its_low_end():
    """The 50 levels of the LCM patch start at t = 0.02, above the paper's lower bound of t_min."""
    sd = named_schedule("sd15").sigmas[19::20]
    found = optimize_schedule(NoiseSchedule(sd), 10)
    assert found.t_min >= 0.02 - 1e-12 and found.sigmas[-2] >= float(sd[0]) * (1 - 1e-6)


def test_one_and_two_steps():
    noise = named_schedule("sd15")
    one, two = optimize_schedule(noise, 1), optimize_schedule(noise, 2)
    assert one.sigmas == (two.sigmas[0], 0.0)
    assert list(two.timesteps) == [959, 526]  # the inner time of two intervals, not 30 as in the DDIM mapping


@pytest.mark.parametrize("backend", ["torch", "scipy"])
def test_only_steps_that_are_made_must_keep_their_distance(backend):
    """Of one or two steps the last goes to 0 instead of t_min, however near that is."""
    noise, settings = named_schedule("sd15"), Settings(t_min=(0.5, 0.5), t_max=(0.7, 0.7))
    for steps in (1, 2):
        found = optimize_schedule(noise, steps, settings, backend)
        gaps = [(a - b) / 999 for a, b in zip(found.timesteps, found.timesteps[1:], strict=False)]
        assert found.spacing_met == all(gap >= found.d_min for gap in gaps) == (steps == 1)
        assert found.penalty == pytest.approx(sum(1e9 * (found.d_min - gap) ** 2 for gap in gaps), rel=0.05)


def test_what_one_backend_found_is_not_taken_for_the_others():
    settings = Settings(t_min=(0.5, 0.5), t_max=(0.7, 0.7))
    found = [optimize_schedule(named_schedule("sd15"), 2, settings, backend) for backend in ("torch", "scipy", "torch")]
    assert [one.backend for one in found] == ["torch", "scipy", "torch"] and found[2] is found[0]


@pytest.mark.parametrize("name", ["flow:3", "flow:1"])
def test_a_flow_schedule_starts_at_full_noise(name):
    for steps in (1, 4, 8):
        found = optimize_schedule(named_schedule(name), steps)
        assert found.sigmas[0] == 1.0 and found.timesteps[0] == 999
        assert found.t_max < 1


@pytest.mark.parametrize("mu", [1.15, 9.0, 20.0])
def test_a_flow_table_that_is_rounded_to_one_early(mu):
    """Flux's table for very large pictures: in float32 many of its last entries are 1, where lambda is infinite."""
    t = torch.arange(1, 10_001) / 10_000
    noise = NoiseSchedule(math.exp(mu) / (math.exp(mu) + (1 / t - 1)), "flow")
    for steps in (1, 4, 8):
        assert_contract(optimize_schedule(noise, steps), noise, steps)


def test_a_flow_table_that_is_one_almost_from_the_start():
    """sigma = 1 from t = 0.012 on, below the paper's t_min: the search keeps to where lambda is finite."""
    noise = NoiseSchedule(torch.cat([torch.linspace(0.1, 0.9, 11), torch.ones(989)]), "flow")
    for steps in (1, 4, 8):
        assert_contract(optimize_schedule(noise, steps), noise, steps)


@pytest.mark.parametrize("table", [[1e-30, 1e-20, 1e-10], [1e-200, 1e200]])
def test_absurd_tables_give_a_schedule_or_a_clear_error(table):
    noise = NoiseSchedule(torch.tensor(table, dtype=torch.float64))
    try:
        found = optimize_schedule(noise, 5)
    except SettingsError as error:
        assert "too extreme; use another model" in str(error)
    else:
        assert all(math.isfinite(s) for s in found.sigmas)


def test_start_at_sigma_max():
    noise = named_schedule("sd15")
    assert optimize_schedule(noise, 5).sigmas[0] < 12
    assert optimize_schedule(noise, 5, Settings(start="sigma_max")).sigmas[0] == float(noise.sigmas[-1].float())


def test_steps_in_a_narrow_range_stay_apart():
    """A table of neighbouring float32 numbers: rounding would make sigmas equal."""
    noise = NoiseSchedule(torch.linspace(1.0, 1.00001, 1000, dtype=torch.float64))
    found = optimize_schedule(noise, 100)
    assert all(a > b for a, b in zip(found.sigmas, found.sigmas[1:], strict=False))


def test_the_same_arguments_give_the_same_schedule():
    noise = named_schedule("ddpm")
    first = optimize_schedule(noise, 9, Settings(seed=3))
    optimizer._memory.clear()
    again = optimize_schedule(named_schedule("ddpm"), 9, Settings(seed=3))
    assert first.sigmas == again.sigmas and first is not again
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            optimizer._memory.clear()
            assert optimize_schedule(noise, 9, Settings(seed=3)).sigmas == first.sigmas
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("steps", [4, 6, 7, 8, 13])
def test_the_schedule_does_not_hang_on_the_seed(steps):
    for name in ("sd15", "ddpm", "flow:3", "edm:0.03:500"):
        found = [optimize_schedule(named_schedule(name), steps, Settings(seed=seed)) for seed in range(6)]
        assert max(f.fitness for f in found) == pytest.approx(min(f.fitness for f in found), rel=1e-9)
        for f in found[1:]:
            assert f.sigmas == pytest.approx(found[0].sigmas, rel=1e-6)


def test_the_result_says_where_it_comes_from():
    noise, settings = named_schedule("flow:3"), Settings(seed=5)
    found = optimize_schedule(noise, 4, settings)
    assert (found.fingerprint, found.family, found.table_length) == (noise.fingerprint, "flow", 1000)
    assert (found.steps, found.settings, found.backend) == (4, settings.suited_to(noise), "torch")
    assert found.elapsed_ms > 0 and 0 <= found.generations <= 60
    assert found.fitness == found.objective + found.penalty
    assert json.loads(json.dumps(found.to_dict()))["psi"] == {
        "rho": found.rho,
        "t_min": found.t_min,
        "t_max": found.t_max,
    }


def test_spacing_is_reported_for_many_steps():
    sd, flow = named_schedule("sd15"), named_schedule("flow:3")
    assert [optimize_schedule(sd, n).spacing_met for n in (4, 6, 8, 16, 20, 50)] == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]
    assert [optimize_schedule(flow, n).spacing_met for n in (4, 5, 8, 20, 50)] == [True, True, False, True, False]


def test_results_are_remembered_and_cannot_be_spoiled():
    noise = named_schedule("sd15")
    first = optimize_schedule(noise, 7)
    assert optimize_schedule(named_schedule("sd15"), 7) is first
    tensor = first.to_tensor()
    tensor[-1] = 0.001  # as core's uni_pc does
    assert float(optimize_schedule(noise, 7).to_tensor()[-1]) == 0


def test_of_the_results_the_longest_unused_is_forgotten(monkeypatch):
    monkeypatch.setattr(optimizer, "REMEMBERED", 2)
    optimizer._memory.clear()
    noise = named_schedule("sd15")
    first, second = (optimize_schedule(noise, steps) for steps in (3, 4))
    optimize_schedule(noise, 3)
    third = optimize_schedule(noise, 5)
    assert len(optimizer._memory) == 2
    assert optimize_schedule(noise, 5) is third and optimize_schedule(noise, 3) is first
    assert optimize_schedule(noise, 4) is not second


@pytest.mark.slow
def test_progress_is_told_and_a_cancelled_search_leaves_nothing():
    class Cancelled(Exception):
        pass

    calls = []

    def cancel(done, total):
        calls.append((done, total))
        if done == 2:
            raise Cancelled

    noise, settings = named_schedule("sd15"), Settings(seed=77)
    for backend in ("torch", "scipy"):
        calls.clear()
        with pytest.raises(Cancelled):
            optimize_schedule(noise, 8, settings, backend=backend, on_progress=cancel)
        assert list(dict.fromkeys(calls)) == [(0, 60), (1, 60), (2, 60)]
    calls.clear()
    with pytest.raises(Cancelled):
        optimize_schedule(noise, 8, settings, on_progress=cancel)
    assert calls


def test_the_polish_can_be_cancelled_too():
    class Cancelled(Exception):
        pass

    calls = []

    def record(done, total):
        calls.append(done)

    settings = Settings(seed=78, generations=0)  # nothing is bred: all that follows the first call is the polish
    optimize_schedule(named_schedule("ddpm"), 6, settings, on_progress=record)
    assert len(calls) > 2
    optimizer._memory.clear()

    def cancel(done, total):
        calls.append(done)
        if len(calls) == 2:
            raise Cancelled

    calls.clear()
    with pytest.raises(Cancelled):
        optimize_schedule(named_schedule("ddpm"), 6, settings, on_progress=cancel)
    assert not optimizer._memory


def test_the_search_works_under_inference_mode():
    with torch.inference_mode():
        found = optimize_schedule(named_schedule("sd15"), 5, Settings(seed=123))
    assert found.sigmas == optimize_schedule(named_schedule("sd15"), 5).sigmas


@pytest.mark.parametrize("name", NAMES)
def test_every_device_of_this_machine_gives_the_same_numbers(name):
    """With a GPU its path is compared; without one, that the CPU asked for is the CPU of auto."""
    for steps in (1, 2, 5, 8, 20):
        found = []
        for device in ("auto", "cpu", *(["cuda"] if torch.cuda.is_available() else [])):
            optimizer._memory.clear()
            found.append(optimize_schedule(named_schedule(name), steps, device=device))
        for other in found[1:]:
            assert other is not found[0]
            assert other.lambdas == pytest.approx(found[0].lambdas, rel=1e-9)


@pytest.mark.parametrize("steps", [0, -1, 100_000, MAX_STEPS + 1, 2.5, True, None, math.inf])
def test_bad_step_counts_are_refused(steps):
    with pytest.raises(SettingsError, match=f"steps is {steps}; it must be a whole number from 1 to 10000"):
        optimize_schedule(named_schedule("sd15"), steps)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"denoise": 0}, "denoise is 0; it must be between 0.0001 and 1"),
        ({"denoise": math.nan}, "denoise is nan"),
        ({"exponent": 0.5}, "exponent is 0.5"),
        ({"gamma": -1}, "gamma is -1"),
        ({"rho": (5, 3)}, "rho goes from 5 to 3"),
        ({"rho": (0, 3)}, "rho is 0"),
        ({"t_min": (0.01, 0.5), "t_max": (0.4, 1)}, "t_min must stay below t_max"),
        ({"t_max": (0.9, 1.1)}, "t_max is 1.1"),
        ({"t_max": (1e-6, 1.0)}, "t_max is 1e-06; it must be between 2e-06 and 1"),
        ({"spacing": (2, 0)}, "spacing is 2"),
        ({"population": 1}, "population is 1"),
        ({"mapping": "ddpm"}, "mapping is 'ddpm'; it must be one of ddim, unipc"),
        ({"start": "late"}, "start is 'late'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "seed is 4294967296; it must be a whole number from 0 to 4294967295"),
        ({"population": 2.5}, "population is 2.5; it must be a whole number from 2 to 200"),
        ({"rho": 7}, "rho is 7; it must be a pair of numbers"),
        ({"spacing": (0.1,)}, "spacing is \\(0.1,\\); it must be a pair"),
        ({"denoise": "0.5"}, "denoise is '0.5'; it must be a number between"),
    ],
)
def test_bad_settings_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        Settings(**values)


def test_a_gpu_without_float64_is_replaced_by_the_cpu_and_says_so(caplog):
    noise = named_schedule("sd15")
    assert optimize_schedule(noise, 5, device="mps") is optimize_schedule(noise, 5)
    assert "mps has no float64, which the search needs; it runs on the CPU" in caplog.text


def test_bad_backends_and_devices_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    noise = named_schedule("sd15")
    with pytest.raises(SettingsError, match="backend is 'jax'"):
        optimize_schedule(noise, 5, backend="jax")
    with pytest.raises(SettingsError, match="device is 'tpu'; it must be one of auto, cpu, cuda"):
        optimize_schedule(noise, 5, device="tpu")
    with pytest.raises(SettingsError, match="finds no CUDA GPU; use auto or cpu"):
        optimize_schedule(noise, 5, device="cuda")


# -- bounds of t -------------------------------------------------------------------------------------------------------


def bounds_of_t(name: str, **settings) -> tuple:
    suited = Settings(**settings).suited_to(named_schedule(name))
    return suited.t_min, suited.t_max


@pytest.mark.parametrize("name", ["sd15", "ddpm"])
def test_on_the_papers_tables_the_bounds_are_the_papers(name):
    assert bounds_of_t(name) == ((0.01, 0.03), (0.96, 1.0))


def test_an_edm_table_takes_the_noise_levels_of_sd():
    """EDM's ln sigma is linear in t."""
    sd = named_schedule("sd15").sigma_of_t(torch.tensor([0.01, 0.03], dtype=torch.float64))
    expected = (sd / 0.002).log() / math.log(80 / 0.002)
    assert bounds_of_t("edm:0.002:80")[0] == pytest.approx(expected.tolist(), abs=1e-3)
    assert bounds_of_t("edm:0.002:80")[1] == (0.96, 1.0)


def test_a_flow_model_has_bounds_of_its_own():
    assert bounds_of_t("flow:3") == bounds_of_t("flow:1") == ((0.1, 0.2), (0.9, 0.96))
    assert bounds_of_t("flow:3", start="searched") == ((0.1, 0.2), (0.96, 1.0))  # there t_max is the start


@pytest.mark.parametrize("name", ["flow:3", "edm:0.002:80"])
def test_a_schedule_that_ends_at_t_min_keeps_the_papers_bounds(name):
    assert bounds_of_t(name, mapping="unipc") == ((0.01, 0.03), (0.96, 1.0))


def test_bounds_that_are_given_are_kept_and_the_others_make_room():
    assert bounds_of_t("flow:3", t_min=(0.01, 0.03), t_max=(0.96, 1.0)) == ((0.01, 0.03), (0.96, 1.0))
    assert bounds_of_t("flow:3", t_min=(0.3, 0.4)) == ((0.3, 0.4), (0.9, 0.96))
    assert bounds_of_t("flow:3", t_max=(0.2, 0.5)) == ((0.1, 0.1), (0.2, 0.5))
    assert bounds_of_t("flow:3", t_min=(0.1, 0.9)) == ((0.1, 0.9), (pytest.approx(0.93), 0.96))
    assert bounds_of_t("sd15", t_max=(2e-6, 1.0)) == ((1e-6, 1e-6), (2e-6, 1.0))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bounds", [{"t_min": (1e-6, 0.9)}, {"t_min": (0.9, 0.9)}, {"t_max": (2e-6, 1.0)}], ids=str)
def test_whatever_bounds_are_given_alone_a_schedule_is_found(name, bounds):
    noise = named_schedule(name)
    for steps in (1, 2, 5):
        assert_contract(optimize_schedule(noise, steps, Settings(**bounds)), noise, steps)


def test_a_problem_knows_all_bounds_before_the_search():
    noise = named_schedule("flow:3")
    settings = Settings(t_min=(0.1, 0.9))
    assert Problem(noise, 5, settings).settings == settings.suited_to(noise)
    found = optimize_schedule(noise, 5, settings)
    assert optimize_schedule(noise, 5, settings.suited_to(noise)) is found
