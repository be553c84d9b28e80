"""The entry `hso` in ComfyUI's scheduler lists, alone and beside packs that are less careful with them."""

from __future__ import annotations

import asyncio
import sys
import types

import numpy as np
import pytest
import torch

import host_import
from hso_core import named_schedule, optimize_schedule

host_import.import_host()

import comfy.model_management  # noqa: E402
import comfy.model_sampling as model_sampling  # noqa: E402
import comfy.samplers as samplers  # noqa: E402

import host_models  # noqa: E402


@pytest.fixture
def entry(pack):
    return sys.modules[pack.__name__ + ".nodes.sampling.scheduler_entry"]


@pytest.fixture
def scheduler_lists(pack, monkeypatch):
    """ComfyUI's lists, restored afterwards."""
    monkeypatch.setattr(samplers, "SCHEDULER_HANDLERS", dict(samplers.SCHEDULER_HANDLERS))
    monkeypatch.setattr(samplers, "SCHEDULER_NAMES", list(samplers.SCHEDULER_NAMES))
    monkeypatch.setattr(samplers.KSampler, "SCHEDULERS", samplers.SCHEDULER_NAMES)


def sd15():
    return type("ModelSampling", (model_sampling.ModelSamplingDiscrete, model_sampling.EPS), {})()


def test_the_entry_is_last_in_both_lists(pack):
    assert samplers.SCHEDULER_NAMES[-1] == "hso" and samplers.SCHEDULER_NAMES.count("hso") == 1
    assert samplers.KSampler.SCHEDULERS is samplers.SCHEDULER_NAMES
    assert samplers.SCHEDULER_NAMES[0] == "simple"  # ComfyUI's silent fallback


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 8, 20, 40, 100])
def test_the_entry_gives_the_numbers_of_the_library(pack, steps):
    sigmas = samplers.calculate_sigmas(sd15(), "hso", steps)
    assert sigmas.tolist() == list(optimize_schedule(named_schedule("sd15"), steps).sigmas)
    assert sigmas.dtype == torch.float32 and sigmas.device.type == "cpu"


@pytest.mark.parametrize("six", [np.int64(6), 6.0, torch.tensor(6)])
def test_a_step_count_over_a_link_may_be_of_any_kind(pack, six):
    assert samplers.calculate_sigmas(sd15(), "hso", six).equal(samplers.calculate_sigmas(sd15(), "hso", 6))
    with pytest.raises(ValueError, match="^Scheduler 'hso': steps is 6.5; it must be a whole number from 1 to 10000"):
        samplers.calculate_sigmas(sd15(), "hso", 6.5)


def test_every_call_gives_a_tensor_of_its_own(pack):
    first = samplers.calculate_sigmas(sd15(), "hso", 5)
    first[-1] = 0.001  # as core's uni_pc does
    assert float(samplers.calculate_sigmas(sd15(), "hso", 5)[-1]) == 0


def test_a_cancellation_ends_the_search(pack):
    sys.modules[f"{pack.__name__}.hso_core.method.optimizer"]._memory.clear()  # what is known already is not searched
    comfy.model_management.interrupt_current_processing()
    try:
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            samplers.calculate_sigmas(sd15(), "hso", 7)
    finally:
        comfy.model_management.interrupt_current_processing(False)


def test_a_denoise_below_1_is_told_where_the_entry_is_chosen(pack, caplog):
    """Core's own KSampler asks for 200 steps there, and takes the last 20: they start at twice the noise."""
    notes = sys.modules[f"{pack.__name__}.nodes.sampling.notes"]
    sampling = type("ModelSampling", (model_sampling.ModelSamplingDiscreteFlow, model_sampling.CONST), {})()
    sampling.set_parameters(shift=3.0)
    model = host_models.model_with(sampling)
    taken = samplers.KSampler(model, 20, torch.device("cpu"), sampler="euler", scheduler="hso", denoise=0.1).sigmas
    assert len(taken) == 21 and float(taken[0]) > 1.5 * named_schedule("flow:3").sigma_of_denoise(0.1)

    def node(kind, **inputs):
        return {"class_type": kind, "inputs": {"scheduler": "hso", "steps": 20, **inputs}}

    prompt = {
        "1": node("KSampler", sampler_name="euler", denoise=0.1),
        "2": node("BasicScheduler", denoise=0.5, steps=["9", 0]),
        "3": node("KSampler", sampler_name="uni_pc", denoise=0.5),
        "4": node("KSampler", sampler_name="euler", denoise=1.0),
        "5": node("KSampler", sampler_name="euler", denoise=["9", 0]),
        "6": node("KSamplerAdvanced", sampler_name="euler"),
        "7": node("KSampler", sampler_name="euler", denoise=0.1, scheduler="karras"),
        "8": node("BasicScheduler", denoise=0.0),
    }
    told = notes.tell_of_nodes(prompt, "hso")
    assert [line.split(",")[0] for line in told] == [
        "KSampler (node 1)", "BasicScheduler (node 2)", "KSampler (node 3)", "KSampler (node 3)",
    ]  # fmt: skip
    assert "for denoise 0.1 ComfyUI asks for a schedule of 200 steps and takes the end of it" in told[0]
    assert "for denoise 0.5 ComfyUI asks for a longer schedule" in told[1] and told[0] in caplog.text


def test_workflows_are_looked_through_and_a_defect_there_stops_none(entry, scheduler_lists, monkeypatch, caplog):
    handlers, looked_at = [], []

    def look(prompt, name):
        looked_at.append((prompt, name))
        raise RuntimeError

    server = types.SimpleNamespace(add_on_prompt_handler=handlers.append)
    monkeypatch.setattr(sys.modules["server"].PromptServer, "instance", server, raising=False)
    monkeypatch.setattr(entry.host, "add_scheduler", lambda *_: None)
    monkeypatch.setattr(entry, "tell_of_nodes", look)
    entry.register()
    request = {"prompt": {"1": {}}}
    assert [handler(request) for handler in handlers] == [request] and handlers[0](request) is request
    assert looked_at == 2 * [({"1": {}}, "hso")]
    assert "could not look through the workflow; it runs all the same" in caplog.text


def test_registering_twice_changes_nothing(entry, scheduler_lists):
    before = list(samplers.SCHEDULER_NAMES)
    entry.register()
    assert before == samplers.SCHEDULER_NAMES


@pytest.fixture
def on_startup(entry, scheduler_lists, monkeypatch):
    """What ComfyUI's server calls when it starts, with the entry registered."""
    calls = []
    server = type("Server", (), {"app": type("App", (), {"on_startup": calls})()})
    monkeypatch.setattr(sys.modules["server"].PromptServer, "instance", server, raising=False)
    entry.register()
    return calls


def test_a_pack_that_rebinds_the_lists_loses_the_entry_only_until_start_up(on_startup):
    samplers.SCHEDULER_NAMES = ["simple", "theirs"]
    samplers.KSampler.SCHEDULERS = ["simple", "karras"]
    asyncio.run(on_startup[-1](None))
    assert samplers.SCHEDULER_NAMES == ["simple", "theirs", "hso"]
    assert samplers.KSampler.SCHEDULERS == ["simple", "karras", "hso"]


def test_a_pack_that_leaves_tuples_for_lists_gets_tuples(on_startup):
    samplers.SCHEDULER_NAMES = ("simple", "theirs")
    samplers.KSampler.SCHEDULERS = ("simple", "karras")
    asyncio.run(on_startup[-1](None))
    assert samplers.SCHEDULER_NAMES == ("simple", "theirs", "hso")
    assert samplers.KSampler.SCHEDULERS == ("simple", "karras", "hso")


@pytest.mark.parametrize("names", [frozenset(["simple"]), None])
def test_a_list_that_cannot_be_added_to_does_not_stop_comfyui(on_startup, caplog, names):
    samplers.KSampler.SCHEDULERS = names
    asyncio.run(on_startup[-1](None))
    assert "HSO: could not add the scheduler 'hso' to ComfyUI's lists once more." in caplog.text


def test_another_packs_scheduler_of_this_name_stays(entry, scheduler_lists):
    theirs = samplers.SchedulerHandler(lambda ms, steps: torch.zeros(1), use_ms=True)
    samplers.SCHEDULER_HANDLERS["hso"] = theirs
    entry.register()
    assert samplers.SCHEDULER_HANDLERS["hso"] is theirs


def test_errors_name_the_entry(pack):
    class Broken:
        sigmas = torch.tensor([2.0, 1.0])

    with pytest.raises(ValueError, match=r"Scheduler 'hso': this model's noise schedule \(Broken\) cannot be used"):
        samplers.calculate_sigmas(Broken(), "hso", 4)
    with pytest.raises(ValueError, match=r"Scheduler 'hso': 20000 steps \(steps / denoise\) are too many; it makes at"):
        samplers.calculate_sigmas(sd15(), "hso", 20000)
