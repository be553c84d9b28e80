"""Calibrate and Compare in a real server, from the model to the pictures."""

from __future__ import annotations

import threading

import pytest
import torch

import demo_prompts
from comfy_server import ComfyServer, PromptInterrupted
from demo_prompts import node, save_latent, show_text
from hso_core.schedule.sigmas import parse_sigmas

SEARCHES = "Sigmas (HSO): search; "  # in the log


def calibrate(budget: str = "quick", **values: object) -> dict:
    usual = {"steps": 5, "budget": budget, "seed": 0, "remembered": "reuse"}
    return node("HSOCalibrateSchedule", **demo_prompts.MEASURED, **{**usual, **values})


def report_of(server: ComfyServer, source: dict) -> str:
    prompt = {**demo_prompts.galaxy_nodes(1), "calibrate": source, "show": show_text("calibrate", 1)}
    (text,) = server.texts(server.run(prompt))
    return text


def test_from_the_model_to_better_pictures(server: ComfyServer) -> None:
    calibrated = demo_prompts.hso_ksampler_prompt(calibrate(), cfg=1.0, seed=900, batch_size=16)
    calibrated["show"] = show_text("sigmas", 1)
    entry = server.run(calibrated)
    (report,) = server.texts(entry)
    (line,) = [line for line in report.splitlines() if line.startswith("sigmas: ")]
    assert len(parse_sigmas(line)) == 6 and "% interval" in report
    (plot,) = [out["hso_plot"][0] for out in entry["outputs"].values() if "hso_plot" in out]
    assert plot["schedules"][0]["name"] == "calibrated"

    pictures = demo_prompts.fetch_latents(server, entry)
    converged = demo_prompts.sample(
        server, demo_prompts.sampler_custom_prompt(demo_prompts.basic_scheduler("karras", 100), seed=900, batch_size=16)
    )

    def distance(latents: torch.Tensor) -> float:
        return float((latents - converged).square().mean(dim=(1, 2, 3)).sqrt().mean())

    others = {
        name: distance(
            demo_prompts.sample(server, demo_prompts.ksampler_prompt(scheduler=name, steps=5, seed=900, batch_size=16))
        )
        for name in ("hso", "karras", "exponential", "normal", "simple", "beta")
    }
    assert distance(pictures) < min(others.values()), others


def test_a_search_for_another_number_of_steps_takes_the_reference_from_memory(server: ComfyServer) -> None:
    assert "remembered" not in report_of(server, calibrate(seed=5))
    assert "of them remembered from an earlier search" in report_of(server, calibrate(seed=5, steps=4))


def test_cancel_in_the_middle_keeps_what_was_found(server: ComfyServer) -> None:
    source = calibrate("thorough", seed=77)
    prompt = {**demo_prompts.galaxy_nodes(1), "calibrate": source, "show": show_text("calibrate", 1)}
    before = len(server.log())
    prompt_id = server.queue(prompt)

    def cancel() -> None:
        server.wait_until("Calibrate searches", lambda: SEARCHES in server.log()[before:])
        server.interrupt()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(PromptInterrupted) as interrupted:
        server.wait(prompt_id)
    thread.join()
    assert interrupted.value.node_type == "HSOCalibrateSchedule"
    before = len(server.log())
    assert "The search was cancelled after" in report_of(server, source)
    assert SEARCHES not in server.log()[before:]


def test_compare_shows_a_table_and_two_pictures(server: ComfyServer) -> None:
    compare = node(
        "HSOCompareSchedules", **demo_prompts.MEASURED, steps=4, schedulers="karras, simple", pictures=2, seed=3,
        theme="light", schedule_1=["hso", 0],
    )  # fmt: skip
    entry = server.run(
        {
            **demo_prompts.galaxy_nodes(1),
            "hso": demo_prompts.basic_scheduler("hso", 4),
            "compare": compare,
            "show": show_text("compare", 0),
            "ranking": node("PreviewImage", images=["compare", 1]),
            "pictures": node("PreviewImage", images=["compare", 2]),
            "again": node(
                "SamplerCustom", model=["model", 0], add_noise=True, noise_seed=3, cfg=1.0, positive=["model", 1],
                negative=["model", 1], sampler=["sampler", 0], sigmas=["compare", 3], latent_image=["latent", 0],
            ),
            "sampler": node("KSamplerSelect", sampler_name="dpmpp_2m"),
            **save_latent("again"),
        }
    )  # fmt: skip
    (table,) = server.texts(entry)
    assert {line.split(" | ")[0] for line in table.splitlines()[2:5]} == {"| hso", "| karras", "| simple"}
    assert len(server.files(entry)) == 2 and demo_prompts.fetch_latents(server, entry).isfinite().all()
