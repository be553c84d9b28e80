"""What the nodes send to be drawn: strict JSON, and the same numbers as the schedule itself."""

from __future__ import annotations

import inspect
import json
import sys

import pytest
import torch

import host_import

host_import.import_host()

import comfy.model_sampling as model_sampling  # noqa: E402
from comfy.model_patcher import ModelPatcher  # noqa: E402

KINDS = {
    "vp": (model_sampling.ModelSamplingDiscrete, model_sampling.EPS),
    "edm": (model_sampling.ModelSamplingContinuousEDM, model_sampling.EDM),
    "flow": (model_sampling.ModelSamplingDiscreteFlow, model_sampling.CONST),
}


def model_of(kind: str) -> ModelPatcher:
    model = torch.nn.Module()
    model.model_sampling = type("ModelSampling", KINDS[kind], {})()
    return ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


def plot_of(output) -> dict:
    (plot,) = json.loads(json.dumps(output.ui, allow_nan=False))["hso_plot"]  # the browser reads no NaN or Infinity
    return plot


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 5, 300])
def test_the_plot_of_a_search(node_classes, kind, steps):
    output = node_classes["HSOOptimizeSchedule"].execute(model=model_of(kind), steps=steps, denoise=1.0, start="auto")
    plot, sigmas = plot_of(output), output.args[0]
    main, *others = plot["schedules"]
    assert torch.tensor(main["sigmas"], dtype=torch.float32).equal(torch.tensor(sigmas.tolist()))
    assert plot["family"] == ("flow" if kind == "flow" else "vp")
    assert plot["sigma_max"] >= plot["sigma_min"] > 0
    assert main["lambdas"][-1] is None and main["timesteps"][-1] == 0
    assert (main["lambdas"][0] is None) == (kind == "flow" and main["sigmas"][0] == 1)
    assert [other["name"] for other in others] == (["karras", "simple", "beta", "exponential"] if steps < 200 else [])
    assert all(len(curve["sigmas"]) == len(curve["lambdas"]) for curve in plot["schedules"])


def test_denoise_compares_what_basic_scheduler_would_give(node_classes):
    model = model_of("vp")
    output = node_classes["HSOOptimizeSchedule"].execute(model=model, steps=4, denoise=0.5, start="auto")
    import comfy_extras.nodes_custom_sampler as core

    expected = core.BasicScheduler().execute(model, "karras", 4, 0.5).args[0]
    assert plot_of(output)["schedules"][1]["sigmas"] == pytest.approx(expected.tolist(), rel=1e-6)


def test_a_scheduler_that_fails_costs_only_its_curve(node_classes, pack, monkeypatch):
    host = sys.modules[pack.__name__ + ".nodes.host"]

    def fail(model, name, steps):
        raise AttributeError("this model_sampling has no sigma_min") if name == "karras" else KeyError(name)

    monkeypatch.setattr(host, "scheduler_sigmas", fail)
    output = node_classes["HSOOptimizeSchedule"].execute(model=model_of("vp"), steps=4, denoise=1.0, start="auto")
    assert [curve["name"] for curve in plot_of(output)["schedules"]] == ["hso"]


def test_custom_sigmas_says_which_ones_it_used(node_classes):
    cls = node_classes["HSOCustomSigmas"]
    typed = plot_of(cls.execute(text="3 2 1", steps=0, resampling="log-linear"))
    assert typed["schedules"] == [{"name": "text", "sigmas": [3, 2, 1]}] and typed["sigma_max"] is None
    assert "not at 0" in typed["note"]
    linked = cls.execute(
        text="", steps=0, resampling="log-linear", sigmas=torch.tensor([1.0, 0.1, 0]), model=model_of("flow")
    )
    assert plot_of(linked)["schedules"][0] == {
        "name": "connected", "sigmas": [1, 0.1, 0], "lambdas": [None, 2.19722, None], "timesteps": [999, 99.9, 0],
    }  # fmt: skip


def test_the_nodes_that_show_a_plot_are_those_that_the_page_keeps_room_for(node_classes):
    """Those that give SIGMAS or end a workflow: web/plot/plot_node.js goes by that, before there is a plot."""
    sends = {name for name, cls in node_classes.items() if makes_plot(inspect.getsource(inspect.getmodule(cls)))}
    keeps_room = {
        name
        for name, cls in node_classes.items()
        if "SIGMAS" in (known := cls.GET_NODE_INFO_V1())["output"] or known["output_node"]
    }
    assert sends == keeps_room and len(sends) > 10


def makes_plot(source: str) -> bool:
    return "plot_ui(" in source or "output_of(" in source
