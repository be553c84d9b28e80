"""The nodes, executed in a real ComfyUI in this process (without the server's prompt machinery)."""

from __future__ import annotations

import copy
import importlib
import pickle
import re
import sys

import pytest
import torch

import host_import
from hso_core import Settings, named_schedule, optimize_schedule

host_import.import_host()

import comfy.model_sampling as model_sampling  # noqa: E402
import comfy.sample  # noqa: E402
from comfy.model_patcher import ModelPatcher  # noqa: E402

import galaxies  # noqa: E402
import tiny_models  # noqa: E402


def model_with(sampling: object) -> ModelPatcher:
    """A real MODEL around a model_sampling object; it has no network, which the schedule nodes never look at."""
    model = torch.nn.Module()
    model.model_sampling = sampling
    return ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


SD15 = model_with(type("ModelSampling", (model_sampling.ModelSamplingDiscrete, model_sampling.EPS), {})())
FLOW = model_with(type("ModelSampling", (model_sampling.ModelSamplingDiscreteFlow, model_sampling.CONST), {})())


def teardown_module() -> None:
    """A ModelPatcher that lives until the interpreter ends complains then that its modules are gone."""
    global SD15, FLOW
    del SD15, FLOW


@pytest.fixture
def host(pack):
    return sys.modules[pack.__name__ + ".nodes.host"]


def defaults(cls) -> dict:
    """The values of a node's widgets as the browser first shows them."""
    inputs = cls.INPUT_TYPES()
    return {
        name: definition[1]["default"]
        for group in ("required", "optional")
        for name, definition in inputs.get(group, {}).items()
        if len(definition) > 1 and "default" in definition[1]
    }


def run(cls, **values):
    """Execute a node; its outputs as a tuple."""
    with torch.inference_mode():
        return cls.execute(**{**defaults(cls), **values}).args


def test_ids_and_widgets_of_a_released_node_never_change(node_classes):
    """A saved workflow stores widget values by position. New widgets go to the end; nothing else may change here."""
    orders = {name: cls.GET_NODE_INFO_V1()["input_order"] for name, cls in node_classes.items()}
    assert {name: order["required"] + order.get("optional", []) for name, order in orders.items()} == {
        "HSOOptimizeSchedule": [
            "model", "steps", "denoise", "start", "search_seed", "mapping", "exponent", "rho_low", "rho_high",
            "t_min_low", "t_min_high", "t_max_low", "t_max_high", "gamma", "d_min_4", "d_min_20", "population",
            "generations", "tolerance", "iterations", "backend", "device",
        ],
        "HSOCustomSigmas": ["text", "steps", "resampling", "sigmas", "model"],
        "HSOKSampler": [
            "model", "seed", "cfg", "sampler_name", "positive", "negative", "latent_image", "sigmas", "add_noise",
            "start_at_step", "end_at_step", "return_with_leftover_noise", "sampler",
        ],
        "HSOPresetSchedule": ["preset", "steps", "denoise", "model"],
        "HSOSaveSchedule": ["sigmas", "name", "folder", "sampler", "note", "model", "report", "fitted_sampler"],
        "HSOLoadSchedule": ["file", "model"],
        "HSOBlendSchedules": ["first", "second", "weight", "resampling"],
        "HSOEditSigmas": [
            "sigmas", "edit", "steps", "resampling", "factor", "sigma", "denoise", "keep_steps", "weight", "second",
            "model",
        ],
        "HSOSplitSchedule": ["sigmas", "where", "sigma", "insert", "step", "keep_steps"],
        "HSOPinSigma": ["sigmas", "sigma"],
        "HSOStartAtDenoise": ["sigmas", "model", "denoise", "keep_steps"],
        "HSOResampleSchedule": ["sigmas", "steps", "resampling"],
        "HSOPlotSchedules": [
            "names", "axis", "theme", "width", "height", *(f"schedule_{k}" for k in range(1, 9)), "model", "more",
        ],
        "HSOCalibrateSchedule": [
            "steps", "cfg", "sampler_name", "budget", "seed", "remembered", "latent_image", "model", "positive",
            "negative", "guider", "sampler", "denoise",
        ],
        "HSOCalibrateSampler": [
            "steps", "cfg", "budget", "seed", "remembered", "latent_image", "model", "positive", "negative", "guider",
            "denoise",
        ],
        "HSOFittedSampler": ["text", "sampler", "model"],
        "HSOCompareSchedules": [
            "steps", "cfg", "sampler_name", "schedulers", "pictures", "seed", "theme", "latent_image", "model",
            "positive", "negative", "guider", "sampler", "vae", *(f"schedule_{k}" for k in range(1, 5)), "more",
            "denoise", "sampler_1", "sampler_2",
        ],
    }  # fmt: skip


def test_display_names_follow_one_pattern(node_classes):
    """What it does, then ComfyUI's own word for what it is about."""
    shown = {cls.GET_NODE_INFO_V1()["display_name"] for cls in node_classes.values() if not is_deprecated(cls)}
    assert not [name for name in shown if not re.fullmatch(r"(\w+ )?(Sigmas|K?Sampler|Schedulers?) \(HSO\)", name)]
    assert "Scheduler (HSO)" in shown  # begins with what people search for, so it is found first


def test_the_menu_shows_no_node_that_another_one_replaces(node_classes):
    replaced = {name for name, cls in node_classes.items() if is_deprecated(cls)}
    assert replaced == {"HSOBlendSchedules", "HSOPinSigma", "HSOResampleSchedule", "HSOStartAtDenoise"}


def is_deprecated(cls) -> bool:
    return cls.GET_NODE_INFO_V1()["deprecated"]


def test_the_nodes_stand_beside_cores_own_in_the_menu(node_classes, monkeypatch):
    """Wherever this ComfyUI has them: newer ones have moved theirs from sampling/custom_sampling to model/sampling."""
    import nodes
    from comfy_extras import nodes_custom_sampler

    for core in ("BasicScheduler", "SplitSigmas", "KSamplerSelect"):  # the server has loaded them by itself
        monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, core, getattr(nodes_custom_sampler, core))
    cores = ("BasicScheduler", "SplitSigmas", "KSampler", "KSamplerSelect")
    beside = {name: nodes.NODE_CLASS_MAPPINGS[name].CATEGORY for name in cores}
    where = {name: cls.define_schema().category for name, cls in node_classes.items()}
    assert set(where.values()) == set(beside.values()) and len(set(beside.values())) == 4
    for core, ours in (("BasicScheduler", "HSOOptimizeSchedule"), ("SplitSigmas", "HSOSplitSchedule"),
                       ("KSampler", "HSOKSampler"), ("KSamplerSelect", "HSOFittedSampler")):  # fmt: skip
        assert where[ours] == beside[core]
    monkeypatch.setattr(nodes.KSampler, "CATEGORY", "anywhere/else")
    assert node_classes["HSOKSampler"].define_schema().category == "anywhere/else"


def test_only_ksampler_draws_a_new_seed_after_each_run(node_classes):
    """The browser does so for every input of this name, unless it is told not to; a measurement would begin anew."""
    for name, cls in node_classes.items():
        defined = cls.INPUT_TYPES()
        for group in ("required", "optional"):
            if "seed" in defined.get(group, {}):
                drawn = defined[group]["seed"][1].get("control_after_generate")
                assert drawn is (name == "HSOKSampler"), name


def test_every_input_and_output_is_explained(node_classes):
    for name, cls in node_classes.items():
        info = cls.GET_NODE_INFO_V1()
        for group in ("required", "optional"):
            for input_name, definition in info["input"].get(group, {}).items():
                assert len(definition[1].get("tooltip", "")) > 10, (name, input_name)
        assert all(info["output_tooltips"]) and info["description"], name


def test_defaults_of_the_node_are_those_of_the_library(node_classes):
    for model, name in ((SD15, "sd15"), (FLOW, "flow:1")):
        sigmas, report = run(node_classes["HSOOptimizeSchedule"], model=model, steps=5)
        found = optimize_schedule(named_schedule(name), 5)
        assert sigmas.tolist() == list(found.sigmas)
        assert report.splitlines()[:12] == found.summary().splitlines()[:12]


def test_the_patched_schedule_is_the_one_that_counts(node_classes):
    """Core's ModelSamplingSD3 node puts its own model_sampling on a clone; the model below keeps its old one."""
    import comfy_extras.nodes_model_advanced as core

    SD15.model.model_config = None
    (patched,) = core.ModelSamplingSD3().patch(SD15, 3.0)
    shifted, _ = run(node_classes["HSOOptimizeSchedule"], model=patched, steps=5)
    plain, _ = run(node_classes["HSOOptimizeSchedule"], model=SD15, steps=5)
    assert shifted.tolist() == list(optimize_schedule(named_schedule("flow:3"), 5).sigmas)
    assert plain.tolist() == list(optimize_schedule(named_schedule("sd15"), 5).sigmas)


def test_every_widget_reaches_the_search(node_classes):
    values = {
        "denoise": 0.8, "start": "sigma_max", "mapping": "unipc", "exponent": 1.5, "gamma": 10.0,
        "population": 8, "generations": 3, "tolerance": 0.1, "iterations": 50,
    }  # fmt: skip
    pairs = {"rho": (5.0, 6.0), "t_min": (0.02, 0.04), "t_max": (0.9, 0.95)}
    widgets = {f"{name}_{end}": pairs[name][i] for name in pairs for i, end in enumerate(("low", "high"))}
    sigmas, _ = run(
        node_classes["HSOOptimizeSchedule"],
        model=SD15,
        steps=6,
        search_seed=9,
        d_min_4=0.1,
        d_min_20=0.02,
        **values,
        **widgets,
    )
    found = optimize_schedule(named_schedule("sd15"), 6, Settings(**values, **pairs, seed=9, spacing=(0.1, 0.02)))
    assert sigmas.tolist() == list(found.sigmas)


@pytest.mark.parametrize(
    ("widgets", "settings"),
    [
        ({}, {}),
        ({"t_min_low": 0.01, "t_min_high": 0.03, "t_max_low": 0.96, "t_max_high": 1.0},  # as in workflows of 0.1.0
         {"t_min": (0.01, 0.03), "t_max": (0.96, 1.0)}),
        ({"t_min_high": 0.15}, {"t_min": (0.1, 0.15)}),
        ({"t_max_low": 0.95, "t_min_low": 0.05}, {"t_min": (0.05, 0.2), "t_max": (0.95, 0.96)}),
        ({"t_min_high": 0.9}, {"t_min": (0.1, 0.9)}),
    ],
)  # fmt: skip
def test_a_bound_of_0_is_the_one_that_suits_the_model(node_classes, widgets, settings):
    sigmas, _ = run(node_classes["HSOOptimizeSchedule"], model=FLOW, steps=5, **widgets)
    assert sigmas.tolist() == list(optimize_schedule(named_schedule("flow:1"), 5, Settings(**settings)).sigmas)


@pytest.mark.parametrize(
    ("widgets", "message", "filled_in"),
    [
        ({"t_min_low": 0.3}, "t_min goes from 0.3 to 0.2; the first must not be the larger", "t_min_high 0.2"),
        ({"t_max_high": 0.1}, "t_max goes from 0.9 to 0.1; the first must not be the larger", "t_max_low 0.9"),
        ({"t_min_high": 0.9, "t_max_high": 0.95}, "t_min goes up to 0.9 and t_max down to 0.9; t_min must stay below "
         "t_max", "t_min_low 0.1, t_max_low 0.9"),
    ],
)  # fmt: skip
def test_where_bounds_clash_it_is_said_which_are_the_models(node_classes, widgets, message, filled_in):
    whole = f"Scheduler (HSO): {message}. Not set, but as suits this model: {filled_in}"
    with pytest.raises(ValueError, match=f"^{re.escape(whole)}$"):
        run(node_classes["HSOOptimizeSchedule"], model=FLOW, steps=5, **widgets)


def test_bounds_of_another_kind_of_model_are_announced(node_classes):
    def note(model, **widgets) -> str:
        with torch.inference_mode():
            cls = node_classes["HSOOptimizeSchedule"]
            (plot,) = cls.execute(**{**defaults(cls), "model": model, "steps": 5, **widgets}).ui["hso_plot"]
        return plot["note"]

    paper = {"t_min_low": 0.01, "t_min_high": 0.03, "t_max_low": 0.96, "t_max_high": 1.0}
    assert "Set t_min_low, t_min_high, t_max_low and t_max_high to 0" in note(FLOW, **paper)
    for without in (note(FLOW), note(SD15, **paper), note(FLOW, **paper, mapping="unipc")):
        assert "bounds of t" not in without


def test_the_report_can_be_pasted_into_custom_sigmas(node_classes):
    sigmas, report = run(node_classes["HSOOptimizeSchedule"], model=SD15, steps=7)
    (line,) = [line for line in report.splitlines() if line.startswith("sigmas: ")]
    pasted, text = run(node_classes["HSOCustomSigmas"], text=line)
    assert torch.equal(pasted, sigmas) and text == line.removeprefix("sigmas: ")


def test_a_prompt_need_not_have_the_advanced_inputs(node_classes):
    sigmas, _ = node_classes["HSOOptimizeSchedule"].execute(model=SD15, steps=5, denoise=1.0, start="auto").args
    assert sigmas.tolist() == list(optimize_schedule(named_schedule("sd15"), 5).sigmas)


def test_the_output_is_a_tensor_that_a_slice_cannot_spoil(node_classes):
    sigmas, _ = run(node_classes["HSOOptimizeSchedule"], model=SD15, steps=4)
    expected = torch.tensor(optimize_schedule(named_schedule("sd15"), 4).sigmas)
    moved = sigmas.to("cpu")  # what ComfyUI does before it samples
    moved[:][-1] = 0.001  # what uni_pc does
    moved[-1:][0] = 0.001
    assert torch.equal(sigmas, expected) and isinstance(sigmas, torch.Tensor)
    assert sigmas.dtype == torch.float32 and sigmas.device.type == "cpu" and sigmas.shape == (5,)
    assert repr(sigmas) == repr(expected) and f"{sigmas}" == f"{expected}"
    computed = (sigmas.clone(), sigmas[:-1], sigmas + 1, torch.cat([sigmas, sigmas]), sigmas.flip(0))
    copies = (copy.deepcopy(sigmas), pickle.loads(pickle.dumps(sigmas)))
    assert all(type(tensor) is torch.Tensor for tensor in computed + copies)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, r"this model's noise schedule .Odd. has no table of sigmas"),
        (torch.tensor([3.0, 2.0]), r"this model's noise schedule .Odd. cannot be used: .* must increase"),
    ],
)
def test_a_model_without_a_usable_table_is_refused(node_classes, table, message):
    odd = type("Odd", (), {} if table is None else {"sigmas": table})()
    with pytest.raises(ValueError, match=f"^Scheduler .HSO.: {message}"):
        run(node_classes["HSOOptimizeSchedule"], model=model_with(odd))


def test_cores_sigma_nodes_take_the_schedule_and_leave_it_as_it_is(node_classes):
    import comfy_extras.nodes_custom_sampler as core

    sigmas, _ = run(node_classes["HSOOptimizeSchedule"], model=SD15, steps=6)
    before = sigmas.tolist()
    high, low = core.SplitSigmas.execute(sigmas, 2).args
    assert high.tolist() == before[:3] and low.tolist() == before[2:]
    flipped = core.FlipSigmas.execute(sigmas).args[0]
    assert flipped[-1] == before[0] and flipped[1:].tolist() == before[:-1][::-1]
    assert core.SetFirstSigma.execute(sigmas, 14.0).args[0].tolist() == [14.0, *before[1:]]
    assert sigmas.tolist() == before


def test_the_search_moves_the_progress_bar_and_stops_when_the_user_cancels(node_classes, monkeypatch):
    import comfy.model_management
    import comfy.utils

    for limit in ("INTERVAL", "PERCENT"):  # newer hosts leave out calls that come close together
        monkeypatch.setattr(comfy.utils, f"PROGRESS_THROTTLE_MIN_{limit}", 0, raising=False)

    shown = []

    def hook(value, total, preview, **_):
        shown.append((value, total))
        if cancel and value == 2:
            comfy.model_management.interrupt_current_processing()

    cancel = False
    comfy.utils.set_progress_bar_global_hook(hook)
    try:
        run(node_classes["HSOOptimizeSchedule"], model=SD15, steps=8, search_seed=31)
        assert [value for value, _ in shown[:4]] == [0, 1, 2, 3] and {total for _, total in shown} == {60}
        cancel = True
        shown.clear()
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            run(node_classes["HSOOptimizeSchedule"], model=SD15, steps=8, search_seed=32)
        assert [value for value, _ in shown] == [0, 1, 2]
    finally:
        comfy.utils.set_progress_bar_global_hook(None)


def test_bad_settings_name_the_node(node_classes):
    with pytest.raises(ValueError, match="^Scheduler .HSO.: rho goes from 9 to 3; the first must not be"):
        run(node_classes["HSOOptimizeSchedule"], model=SD15, rho_low=9.0, rho_high=3.0)


def test_custom_sigmas_passes_connected_sigmas_through_while_the_text_is_empty(node_classes):
    cls = node_classes["HSOCustomSigmas"]
    connected = torch.tensor([3.0, 1.0, 0.0])
    sigmas, text = run(cls, text="  ", sigmas=connected)
    assert torch.equal(sigmas, connected) and sigmas is not connected and text == "3, 1, 0"
    assert run(cls, text="5 4 0", sigmas=connected)[1] == "5, 4, 0"
    assert cls.check_lazy_status(text="", sigmas=None) == ["sigmas"]
    assert cls.check_lazy_status(text="", sigmas=connected) == []
    assert cls.check_lazy_status(text="5 4 0", sigmas=None) == []
    assert cls.check_lazy_status(text="") == []


def test_custom_sigmas_resamples_on_request(node_classes):
    cls = node_classes["HSOCustomSigmas"]
    assert run(cls, text="8 4 2 1 0", steps=2)[1] == "8, 1, 0"
    assert len(run(cls, text="8 4 2 1 0", steps=9, resampling="monotone")[0]) == 10


def test_custom_sigmas_checks_the_range_of_a_connected_model(node_classes):
    cls = node_classes["HSOCustomSigmas"]
    assert run(cls, text="14.615 3 0", model=SD15)
    with pytest.raises(
        ValueError, match="^Custom Sigmas .HSO.: the schedule starts at sigma 14.615, but the largest of"
    ):
        run(cls, text="14.615 3 0", model=FLOW)


def test_custom_sigmas_announces_a_flow_schedule_on_another_model(node_classes, caplog):
    run(node_classes["HSOCustomSigmas"], text="1 0.9 0.5 0", model=SD15)
    assert "Custom Sigmas (HSO): the schedule starts at sigma 1, which is 35% of this model's noise" in caplog.text


def test_custom_sigmas_checks_what_float32_makes_of_the_values(node_classes):
    close = torch.tensor([1.00000000001, 1.0, 0.0], dtype=torch.float64)
    with pytest.raises(ValueError, match="value 2 .1. is not below value 1 .1."):
        run(node_classes["HSOCustomSigmas"], text="", sigmas=close)


def test_custom_sigmas_refuses_bad_text_before_anything_runs(node_classes):
    cls = node_classes["HSOCustomSigmas"]
    assert cls.validate_inputs(text="") is True and cls.validate_inputs(text=None) is True
    assert cls.validate_inputs(text="14.6, 3, 0") is True
    assert cls.validate_inputs(text="14.6, x, 0").startswith("'x', value 2, is not a number")
    with pytest.raises(ValueError, match="there are no sigmas; type some into text, or connect some"):
        run(cls, text="")


def test_custom_sigmas_announces_noise_that_is_left(node_classes, caplog):
    run(node_classes["HSOCustomSigmas"], text="5 1")
    assert "ends at 1, not at 0: noise will be left" in caplog.text


@pytest.mark.parametrize(
    ("sigmas", "message"),
    [
        ([1.0, float("nan"), 0.0], "value 2 is nan"),
        ([1.0, 2.0, 0.0], "value 2 .2. is not below value 1"),
        (1.0, "at least 2 sigmas"),
    ],
)
def test_ksampler_refuses_wrong_schedules(node_classes, sigmas, message):
    with pytest.raises(ValueError, match=f"^KSampler .HSO.: .*{message}"):
        node_classes["HSOKSampler"].execute(
            SD15, 0, 1.0, "euler", [], [], {"samples": torch.zeros(1, 4, 8, 8)}, torch.tensor(sigmas)
        )


@pytest.mark.parametrize("first", [20000.0, 4540.0])
def test_a_first_sigma_above_the_table_is_announced_and_sampled_as_core_does(node_classes, caplog, first):
    """Core's SetFirstSigma goes up to 20000, which is for models with zero terminal SNR."""
    import comfy_extras.nodes_custom_sampler as core

    model, prompt = tiny_models.tiny_model("v zsnr"), tiny_models.conditioning()
    sigmas = core.SetFirstSigma.execute(core.BasicScheduler.execute(model, "simple", 4, 1.0).args[0], first).args[0]
    latent = tiny_models.empty_latent(model)
    ours = run(
        node_classes["HSOKSampler"], model=model, seed=3, cfg=1.0, sampler_name="euler", positive=prompt,
        negative=prompt, latent_image=latent, sigmas=sigmas,
    )[0]["samples"]  # fmt: skip
    solver = core.KSamplerSelect.execute("euler").args[0]
    theirs = core.SamplerCustom.execute(model, True, 3, 1.0, prompt, prompt, solver, sigmas, latent).args[0]["samples"]
    torch.testing.assert_close(ours, theirs)
    announced = f"KSampler (HSO): the schedule starts at sigma {first:g}, above the largest of this model, 4518.76"
    assert (announced in caplog.text) is (first > 4518.76 * 1.01)
    _, text = run(node_classes["HSOCustomSigmas"], text="20000, 14, 3, 0", model=model)
    assert text == "20000, 14, 3, 0" and "Custom Sigmas (HSO): the schedule starts at sigma 20000" in caplog.text


def test_ksampler_refuses_a_list_of_cfg_by_name(node_classes):
    """What KJNodes' nodes put out for a cfg of each step; core fails on it with an error of the multiplication."""
    with pytest.raises(ValueError, match=r"^KSampler .HSO.: cfg is \[3.0, 2.0\]; it must be a number"):
        node_classes["HSOKSampler"].execute(
            SD15, 0, [3.0, 2.0], "euler", [], [], {"samples": torch.zeros(1, 4, 8, 8)}, torch.tensor([9.0, 3.0, 0.0])
        )


def test_ksampler_refuses_a_start_where_no_flow_model_has_noise(node_classes):
    with pytest.raises(ValueError, match="^KSampler .HSO.: .*starts at sigma 700, but the largest of this flow model"):
        node_classes["HSOKSampler"].execute(
            FLOW, 0, 1.0, "euler", [], [], {"samples": torch.zeros(1, 4, 8, 8)}, torch.tensor([700.0, 1.0, 0.0])
        )


def test_ksampler_names_the_sampler_that_this_comfyui_does_not_have(node_classes):
    latent, sigmas = {"samples": torch.zeros(1, 4, 8, 8)}, torch.tensor([9.0, 0.0])
    with pytest.raises(
        ValueError, match="^KSampler .HSO.: this ComfyUI has no sampler 'res_2s'; install the pack that"
    ):
        node_classes["HSOKSampler"].execute(SD15, 0, 1.0, "res_2s", [], [], latent, sigmas)


@pytest.mark.parametrize(("cfg", "sampler"), [(1.0, "euler_ancestral"), (3.0, "euler")])
def test_ksampler_gives_what_comfyuis_gives_with_the_same_schedule(node_classes, cfg, sampler):
    """Also to latents of a batch that stood elsewhere in a larger one, and with a sampler that draws noise."""
    import comfy.samplers
    import nodes as core_nodes

    model, prompt = galaxies.guided(galaxies.galaxy_model()), galaxies.conditioning()
    latent = {**galaxies.galaxy_latent(2), "batch_index": [3, 5], "downscale_ratio_spacial": 8}
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "karras", 4)
    ours = run(
        node_classes["HSOKSampler"], model=model, seed=7, cfg=cfg, sampler_name=sampler, positive=prompt,
        negative=prompt, latent_image=latent, sigmas=sigmas,
    )[0]  # fmt: skip
    (theirs,) = core_nodes.common_ksampler(model, 7, 4, cfg, sampler, "karras", prompt, prompt, latent)
    torch.testing.assert_close(ours["samples"], theirs["samples"])
    assert ours["batch_index"] == [3, 5] and "downscale_ratio_spacial" not in ours  # which was that of the empty one


def test_ksampler_moves_the_progress_bar(node_classes):
    import comfy.utils

    shown, prompt = [], galaxies.conditioning()
    comfy.utils.set_progress_bar_global_hook(lambda value, total, _preview, **_: shown.append((value, total)))
    try:
        run(
            node_classes["HSOKSampler"], model=galaxies.galaxy_model(), cfg=1.0, sampler_name="euler", positive=prompt,
            negative=prompt, latent_image=galaxies.galaxy_latent(), sigmas=torch.tensor([9.0, 3, 1, 0]),
        )  # fmt: skip
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    assert shown[-1] == (3, 3)


def test_ksamplers_prompts_are_not_exchanged(host, monkeypatch):
    given, positive, negative = [], galaxies.conditioning(), galaxies.conditioning()
    sample = comfy.sample.sample_custom

    def watched(model, noise, cfg, sampler, sigmas, *prompts, **options):
        given.extend(prompts)
        return sample(model, noise, cfg, sampler, sigmas, *prompts, **options)

    monkeypatch.setattr(comfy.sample, "sample_custom", watched)
    model, latent, sigmas = galaxies.galaxy_model(), galaxies.galaxy_latent(), torch.tensor([9.0, 1.0, 0.0])
    host.sample_with_sigmas(model, 1, 1.0, host.sampler("euler"), sigmas, positive, negative, latent)
    assert given[0] is positive and given[1] is negative


def test_two_ksamplers_in_a_row_are_one_if_the_second_adds_no_noise(node_classes):
    """Euler remembers nothing of earlier steps."""
    model, prompt, sigmas = galaxies.galaxy_model(), galaxies.conditioning(), torch.tensor([100.0, 20, 5, 1, 0.3, 0])

    def sample(latent, part, seed, **values):
        return run(
            node_classes["HSOKSampler"], model=model, seed=seed, cfg=1.0, sampler_name="euler", positive=prompt,
            negative=prompt, latent_image=latent, sigmas=part, **values,
        )[0]  # fmt: skip

    empty = galaxies.galaxy_latent()
    whole, half = sample(empty, sigmas, 1)["samples"], sample(empty, sigmas[:3], 1)
    rest = sample(half, sigmas[2:], 7, add_noise=False)["samples"]
    torch.testing.assert_close(rest, whole, rtol=0, atol=1e-4)
    assert (sample(half, sigmas[2:], 7)["samples"] - whole).std() > 0.1


@pytest.mark.parametrize(
    ("start", "end", "leftover"), [(0, 10_000, False), (0, 2, True), (0, 2, False), (2, 10_000, False), (1, 3, False)]
)
def test_start_and_end_step_are_those_of_ksampler_advanced(node_classes, start, end, leftover):
    import comfy.samplers
    import nodes as core_nodes

    model, prompt, latent = galaxies.galaxy_model(), galaxies.conditioning(), galaxies.galaxy_latent()
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "karras", 4)
    ours = run(
        node_classes["HSOKSampler"], model=model, seed=7, cfg=1.0, sampler_name="euler", positive=prompt,
        negative=prompt, latent_image=latent, sigmas=sigmas, start_at_step=start, end_at_step=end,
        return_with_leftover_noise=leftover,
    )[0]  # fmt: skip
    (theirs,) = core_nodes.KSamplerAdvanced().sample(
        model, "enable", 7, 4, 1.0, "euler", "karras", prompt, prompt, latent, start, end,
        "enable" if leftover else "disable",
    )  # fmt: skip
    torch.testing.assert_close(ours["samples"], theirs["samples"])


def test_no_step_at_all_gives_back_the_latent(node_classes):
    sigmas = torch.tensor([9.0, 3.0, 0.0])
    for part in ({"start_at_step": 2}, {"end_at_step": 0}, {"start_at_step": 1, "end_at_step": 1}):
        latent = {"samples": torch.zeros(1, 4, 8, 8)}
        given = node_classes["HSOKSampler"].execute(SD15, 0, 1.0, "euler", [], [], latent, sigmas, **part)
        assert given.args[0] is latent


def test_a_connected_sampler_takes_the_place_of_sampler_name(node_classes, host, caplog):
    def sample(*sigmas, **values):
        prompt = galaxies.conditioning()
        return run(
            node_classes["HSOKSampler"], model=galaxies.galaxy_model(), seed=1, cfg=1.0, positive=prompt,
            negative=prompt, latent_image=galaxies.galaxy_latent(), sigmas=torch.tensor(sigmas or (100.0, 5, 0.5, 0)),
            **values,
        )[0]["samples"]  # fmt: skip

    torch.testing.assert_close(sample(sampler=host.sampler("heun"), sampler_name="euler"), sample(sampler_name="heun"))
    assert (sample(sampler_name="heun") - sample(sampler_name="euler")).abs().max() > 1e-3
    sample(100.0, 0.0, sampler=host.sampler("uni_pc"), sampler_name="euler")
    assert "the sampler uni_pc does nothing in a single step" in caplog.text


def test_a_flipped_schedule_turns_a_picture_into_its_noise_and_back(node_classes):
    """With many steps of Euler both ways lie close together; noise of its own it must not add."""
    model, prompt = galaxies.galaxy_model(), galaxies.conditioning()
    falling = torch.cat([torch.logspace(2, -2, 60), torch.zeros(1)])
    (rising, _) = run(node_classes["HSOEditSigmas"], sigmas=falling, edit="flip", model=model)

    def sample(latent, sigmas, **values):
        return run(
            node_classes["HSOKSampler"], model=model, seed=1, cfg=1.0, sampler_name="euler", positive=prompt,
            negative=prompt, latent_image=latent, sigmas=sigmas, **values,
        )[0]  # fmt: skip

    picture = sample(galaxies.galaxy_latent(), falling)
    noise = sample(picture, rising, add_noise=False)
    again = sample(noise, falling, add_noise=False)
    assert 90 < noise["samples"].std() < 110
    distance = (again["samples"] - picture["samples"]).square().mean().sqrt()
    assert distance < 0.2 * picture["samples"].std()
    with pytest.raises(ValueError, match="^KSampler .HSO.: the sigmas rise, .* switch add_noise off"):
        sample(picture, rising)
    rising_flow = torch.tensor([0.0001, 0.5, 1.0])
    with pytest.raises(ValueError, match="must end below 1"):
        node_classes["HSOKSampler"].execute(FLOW, 0, 1.0, "euler", [], [], picture, rising_flow, add_noise=False)


@pytest.mark.parametrize("sampler", ["euler", "uni_pc"])
@pytest.mark.parametrize(
    ("kind", "denoise"), [(kind, d) for kind in tiny_models.KINDS for d in (1.0, 0.6) if (kind, d) != ("flow", 1.0)]
)
def test_a_part_of_no_steps_adds_the_noise_and_goes_on(node_classes, kind, denoise, sampler):
    """What SplitSigmas gives at step 0. Ours, and core's two SamplerCustom, in a row are one SamplerCustom."""
    import comfy_extras.nodes_custom_sampler as core

    model, prompt = tiny_models.tiny_model(kind), tiny_models.conditioning()
    picture = {"samples": torch.randn_like(tiny_models.empty_latent(model, 2)["samples"])}
    sigmas = core.BasicScheduler.execute(model, "simple", 4, denoise).args[0]
    high, low = core.SplitSigmas.execute(sigmas, 0).args
    assert len(high) == 1 and torch.equal(low, sigmas)

    def ours(latent, part, add_noise):
        return run(
            node_classes["HSOKSampler"], model=model, seed=3, cfg=1.0, sampler_name=sampler, positive=prompt,
            negative=prompt, latent_image=latent, sigmas=part, add_noise=add_noise,
        )[0]  # fmt: skip

    def cores(latent, part, add_noise):
        solver = core.KSamplerSelect.execute(sampler).args[0]
        with torch.inference_mode():
            arguments = (model, add_noise, 3, 1.0, prompt, prompt, solver, part.clone(), latent)
            return core.SamplerCustom.execute(*arguments).args[0]

    whole = cores(picture, sigmas, True)["samples"]
    for first, second in ((ours, ours), (ours, cores)) + (((cores, ours),) if sampler == "euler" else ()):
        noisy = first(picture, high, True)
        assert float((noisy["samples"] - picture["samples"]).std()) > 0.1
        scale = float(noisy["samples"].abs().max())
        torch.testing.assert_close(second(noisy, low, False)["samples"], whole, rtol=1e-4, atol=2e-6 * scale)
    assert ours(picture, high, False) is picture


def test_full_noise_of_a_flow_model_cannot_be_handed_on_and_is_refused(node_classes):
    """There core gives infinite values, and the sampler behind makes NaN of them."""
    with pytest.raises(ValueError, match="^KSampler .HSO.: the schedule has no step, only the start at sigma 1"):
        run(
            node_classes["HSOKSampler"], model=FLOW, positive=[], negative=[], sigmas=torch.tensor([1.0]),
            latent_image={"samples": torch.zeros(1, 4, 8, 8)},
        )  # fmt: skip


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_part_of_no_steps_must_be_a_noise_level(node_classes, value):
    with pytest.raises(ValueError, match="^KSampler .HSO.: value 1 is"):
        run(
            node_classes["HSOKSampler"], model=SD15, positive=[], negative=[], sigmas=torch.tensor([value]),
            latent_image={"samples": torch.zeros(1, 4, 8, 8)},
        )  # fmt: skip


def test_ksampler_samples_a_model_whose_noise_schedule_cannot_be_read(node_classes, monkeypatch, host):
    class Untold:
        sigma_min, sigma_max = 0.1, 1.0

    monkeypatch.setattr(host, "sample_with_sigmas", lambda *arguments, **_: {"samples": arguments[4]})
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    sigmas = torch.tensor([700.0, 0.0])
    result = node_classes["HSOKSampler"].execute(model_with(Untold()), 0, 1.0, "euler", [], [], latent, sigmas)
    assert torch.equal(result.args[0]["samples"], sigmas)


def test_an_audio_video_latent_is_not_taken_for_empty(host):
    from comfy.nested_tensor import NestedTensor

    nested = NestedTensor([torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8)])
    assert not host.is_empty({"samples": nested})
    assert host.is_empty({"samples": torch.zeros(1, 4, 8, 8)}) and not host.is_empty(
        {"samples": torch.ones(1, 4, 8, 8)}
    )


def test_newer_hosts_are_told_the_size_of_an_empty_latent(host, monkeypatch):
    """From 0.38 on an empty latent says for which downscale ratio it was made."""

    def older(model, latent_image):
        return "older"

    def newer(model, latent_image, downscale_ratio_spacial=None, downscale_ratio_temporal=None):
        return downscale_ratio_spacial, downscale_ratio_temporal

    latents = importlib.import_module(f"{host.__name__}.latents")
    latent = {"samples": torch.zeros(1), "downscale_ratio_spacial": 8, "batch_index": [0]}
    monkeypatch.setattr(comfy.sample, "fix_empty_latent_channels", older)
    assert latents.in_working_channels(None, latent) == "older"
    monkeypatch.setattr(comfy.sample, "fix_empty_latent_channels", newer)
    assert latents.in_working_channels(None, latent) == (8, None)


@pytest.mark.parametrize("sigmas", [[], [0.0]])
def test_ksampler_leaves_the_latent_alone_without_a_step(node_classes, sigmas):
    """What BasicScheduler gives for denoise 0, and SplitSigmas behind the last step."""
    latent = {"samples": torch.ones(1, 4, 8, 8)}
    result = node_classes["HSOKSampler"].execute(SD15, 0, 1.0, "euler", [], [], latent, torch.FloatTensor(sigmas))
    assert result.args[0] is latent
