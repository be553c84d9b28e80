"""Compare Schedulers on a real network in a real ComfyUI in this process."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from PIL import Image

import host_import

host_import.import_host()

import comfy.model_management  # noqa: E402
import comfy.samplers  # noqa: E402
from comfy_extras import nodes_model_advanced  # noqa: E402

import galaxies  # noqa: E402
import tiny_models  # noqa: E402


@pytest.fixture(scope="module")
def model():
    return galaxies.galaxy_model()


@pytest.fixture
def execute(node_classes, model):
    """A function that executes the node with the values given and otherwise usual ones."""

    def run(**values):
        prompt = galaxies.conditioning()
        usual = {
            "steps": 5, "cfg": 1.0, "sampler_name": "dpmpp_2m", "schedulers": "hso, karras, simple", "pictures": 3,
            "seed": 0, "theme": "dark", "latent_image": galaxies.galaxy_latent(), "model": model, "positive": prompt,
            "negative": prompt,
        }  # fmt: skip
        with torch.inference_mode():
            return node_classes["HSOCompareSchedules"].execute(**{**usual, **values})

    return run


@pytest.fixture
def compare(execute):
    """The same; its outputs but for the last, the sampler."""
    return lambda **values: execute(**values).args[:4]


def rows_of(table: str) -> dict[str, list[float]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return {name: [float(value) for value in values] for name, *values in cells[2:]}


def test_picture_and_sound_are_compared_together(compare):
    from comfy.nested_tensor import NestedTensor

    both = {"samples": NestedTensor([torch.zeros(1, 4, 8, 8), torch.zeros(1, 2, 16)])}
    table, _, pictures, _ = compare(
        model=tiny_models.tiny_model("eps"), latent_image=both, schedulers="karras, simple", pictures=2
    )
    assert set(rows_of(table)) == {"karras", "simple"} and pictures.shape[0] == 1
    assert "All parts of the latent count alike, each in its own scale." in table


def test_the_table_ranks_by_the_distance_to_the_converged_picture(compare, model):
    fine = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "karras", 40)
    table, ranking, pictures, best = compare(schedule_2=fine)
    rows = rows_of(table)
    means = [values[0] for values in rows.values()]
    assert list(rows)[0] == "schedule_2" and set(rows) == {"schedule_2", "hso", "karras", "simple"}
    assert means == sorted(means) and means[0] < 0.01 < 0.05 < means[1]
    assert torch.equal(best, fine)
    for mean, median, worst, seconds, evaluations in rows.values():
        assert 0 < median <= worst and mean <= worst and seconds > 0 and evaluations in (5, 40)
    for image in (ranking, pictures):
        assert image.ndim == 4 and image.shape[0] == 1 and image.shape[-1] == 3 and 0 <= image.min() < image.max() <= 1
    assert pictures.shape[1] > 5 * 128, "a row for the converged pictures and one for each schedule"


def test_a_number_over_a_link_may_be_of_any_kind(compare):
    usual = compare(schedulers="karras", steps=3, pictures=1, seed=5)
    linked = compare(schedulers="karras", steps=np.int64(3), pictures=1.0, seed=np.uint64(5), cfg=np.float32(1))
    assert rows_of(linked[0])["karras"][:3] == rows_of(usual[0])["karras"][:3]


def test_the_seed_is_the_first_of_the_seeds_that_are_sampled(compare):
    both, first, second = (
        rows_of(compare(schedulers="karras", seed=seed, pictures=count)[0])["karras"][0]
        for seed, count in ((5, 2), (5, 1), (6, 1))
    )
    assert first != second and both == pytest.approx((first + second) / 2, abs=1.1e-4)


def test_each_row_of_pictures_is_that_schedules(pack, compare, monkeypatch):
    """The first row is the converged one."""
    module, shown = importlib.import_module(f"{pack.__name__}.nodes.measuring.compare"), []
    draw = module.pictures
    monkeypatch.setattr(
        module, "pictures", lambda model, latents, vae: shown.append(latents) or draw(model, latents, vae)
    )
    rows = rows_of(compare(pictures=2)[0])
    converged, *others = shown
    means = [float((latents - converged).square().flatten(1).mean(1).sqrt().mean()) for latents in others]
    assert means == pytest.approx([values[0] for values in rows.values()], abs=1e-4) and min(means) > 0


def test_equal_names_are_numbered(compare):
    other = torch.tensor([100.0, 9, 1, 0])
    more = [("hso", other), ("schedule_2", other)]
    rows = rows_of(compare(schedulers="hso", schedule_2=other, more=more, pictures=1)[0])
    assert set(rows) == {"hso", "hso (2)", "schedule_2", "schedule_2 (2)"}
    assert rows["hso"][4] == 5 and rows["hso (2)"][4] == 3


def test_what_is_to_be_said_of_a_schedule_is_in_the_table_and_on_the_node(execute):
    output = execute(schedule_1=torch.tensor([2.0, 1, 0.3]), schedulers="karras", pictures=1)
    for said in (output.args[0], output.ui["hso_plot"][0]["note"]):
        assert "schedule_1 starts at sigma 2 and not at 148.4" in said and "schedule_1 ends at sigma 0.3" in said


def test_a_distilled_model_is_announced(execute, model):
    (lcm,) = nodes_model_advanced.ModelSamplingDiscrete().patch(model, "lcm", False)
    announced, usual = (execute(model=patched, schedulers="karras", pictures=1) for patched in (lcm, model))
    assert announced.args[0].startswith("**This model was distilled (LCM)") and "distilled" not in usual.args[0]
    assert "distilled" in announced.ui["hso_plot"][0]["note"] and not usual.ui["hso_plot"][0].get("note")


def test_all_are_compared_on_request_and_names_may_be_connected_too(compare):
    rows = rows_of(compare(schedulers="all", pictures=1, more=[("mine", torch.tensor([100.0, 5, 1, 0]))])[0])
    assert {"mine", "hso", "karras", "exponential", "simple", "normal", "beta"} < set(rows)
    assert rows["mine"][4] == 3


def test_with_denoise_names_and_reference_start_where_the_picture_is_changed(compare, model):
    """Also at 0.8, from where a schedule could make a picture out of nothing."""
    sampling = model.get_model_object("model_sampling")
    picture = {"samples": torch.linspace(0, 4, 32 * 32).view(1, 1, 32, 32)}
    fine = comfy.samplers.calculate_sigmas(sampling, "karras", 60)
    for denoise in (0.3, 0.8):
        start = float(sampling.sigmas[round(1000 * denoise) - 1])
        below = torch.cat([torch.tensor([start]), fine[fine < start]])
        table, _, _, best = compare(latent_image=picture, denoise=denoise, schedule_1=below, schedule_2=fine)
        rows = rows_of(table)
        assert list(rows)[0] == "schedule_1" and rows["schedule_1"][0] < 0.1 * rows["hso"][0] and best[0] == below[0]
        assert rows["schedule_2"][0] > 10 * rows["schedule_1"][0]
        assert f"schedule_2 starts at sigma {fine[0]:g} and not at" in table and "schedule_1 starts" not in table


class Decoder:
    """Decodes as a VAE does: pixels from latents, channels last."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(latents.shape))
        latents = latents[:, :3, 0] if latents.ndim == 5 else latents[:, :3]
        return latents.movedim(1, -1).expand(-1, -1, -1, 3).repeat_interleave(8, 1).repeat_interleave(8, 2) / 8


def test_a_vae_decodes_the_pictures(compare):
    assert compare(pictures=2, vae=Decoder())[2].shape == (1, 40 + 8 + 4 * (256 + 8), 230 + 8 + 2 * (256 + 8), 3)


def test_the_names_beside_the_pictures_are_whole(pack):
    """As long as a name may be in a legend; the pictures then begin further to the right."""
    black = [Image.new("RGB", (128, 128))]
    draw_grid = importlib.import_module(f"{pack.__name__}.nodes.pictures.comparison").draw_grid
    short, long = (draw_grid([(name, "RMSE 0.1", black)], title="") for name in ("hso", "MMMMMMMMMMMMMMMMMMMMMMMMMM"))
    ground = short.getpixel((0, 0))
    words = np.asarray(long)[:, : long.width - 128 - 2 * 8] != ground
    assert long.width > short.width and not words[:, -8:].any() and words[:, -40:-8].any()


class OfOtherLatents:
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("expected input[1, 1, 32, 32] to have 16 channels")


class OfSound:
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return torch.zeros(1, 2048, 2)


@pytest.mark.parametrize(
    ("vae", "reason"),
    [(OfOtherLatents(), "expected input[1, 1, 32, 32] to have 16 channels"), (OfSound(), "of the shape (1, 2048, 2)")],
)
def test_a_vae_that_fails_costs_only_its_pictures(compare, vae, reason):
    table, _, pictures, _ = compare(pictures=2, vae=vae)
    assert "The vae could not decode these latents, so the pictures are rough previews: " in table
    assert table.endswith(reason) and len(rows_of(table)) == 3
    assert torch.equal(pictures, compare(pictures=2)[2])


class WithAlpha(Decoder):
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        colours = super().decode(latents)
        return torch.cat([colours, torch.zeros_like(colours[..., :1])], dim=-1)


def test_of_a_vae_with_transparency_the_colours_are_shown(compare):
    assert torch.equal(compare(pictures=1, vae=WithAlpha())[2], compare(pictures=1, vae=Decoder())[2])


class Cancelling:
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        raise comfy.model_management.InterruptProcessingException


def test_a_cancellation_while_a_vae_decodes_is_no_failure(compare):
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        compare(pictures=1, vae=Cancelling())


def test_of_a_video_only_the_first_frame_is_decoded(compare):
    video, vae = tiny_models.tiny_model("video"), Decoder()
    prompt = tiny_models.conditioning()
    latent = {"samples": torch.zeros(1, 16, 5, 8, 8)}
    compare(model=video, positive=prompt, negative=prompt, latent_image=latent, pictures=2, vae=vae)
    assert vae.shapes == [(1, 16, 1, 8, 8)] * 8


def test_the_batch_of_a_model_of_frames_is_compared_as_one_video(compare):
    model, vae, prompt = tiny_models.svd_model(), Decoder(), tiny_models.conditioning()
    values = {"model": model, "positive": prompt, "negative": prompt}
    values["latent_image"] = {"samples": torch.zeros(3, 4, 8, 8)}
    table, _, pictures, _ = compare(**values, schedulers="karras, simple", pictures=2, vae=vae)
    assert set(rows_of(table)) == {"karras", "simple"} and all(row[4] == 5 for row in rows_of(table).values())
    assert vae.shapes == [(1, 4, 8, 8)] * 6
    assert compare(**values, schedulers="karras", pictures=1)[2].shape[1] > 0


def test_previews_do_not_depend_on_the_default_dtype(pack):
    module, model = importlib.import_module(f"{pack.__name__}.nodes.pictures.latents"), tiny_models.tiny_model("eps")
    latents, before = torch.linspace(-2, 2, 2 * 4 * 8 * 8).reshape(2, 4, 8, 8), torch.get_default_dtype()
    expected = [picture.tobytes() for picture in module.pictures(model, latents)]
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert [picture.tobytes() for picture in module.pictures(model, latents)] == expected
    finally:
        torch.set_default_dtype(before)


def test_a_scheduler_that_makes_no_schedule_here_is_left_out_and_named(compare, monkeypatch):
    def of_few_steps(sampling, steps):
        raise RuntimeError

    monkeypatch.setitem(comfy.samplers.SCHEDULER_HANDLERS, "beta", comfy.samplers.SchedulerHandler(of_few_steps))
    table = compare(schedulers="karras, beta", pictures=1)[0]
    assert set(rows_of(table)) == {"karras"}
    assert table.endswith("Left out: beta (no schedule of 5 steps for this model and sampler).")
    with pytest.raises(
        ValueError,
        match="nothing to compare; beta: no schedule of 5 steps for this model and sampler; name others, or connect",
    ):
        compare(schedulers="beta")


def test_a_schedule_from_above_the_model_is_compared_and_announced_but_not_for_a_flow_model(compare, model, caplog):
    high = torch.tensor([700.0, 4.0, 0.0])
    assert "schedule_1" in rows_of(compare(schedule_1=high, schedulers="karras", pictures=1)[0])
    assert "Compare Schedulers (HSO): schedule_1: the schedule starts at sigma 700, above the largest" in caplog.text
    (flow,) = nodes_model_advanced.ModelSamplingSD3().patch(model, 3.0)
    with pytest.raises(
        ValueError, match="^Compare Schedulers .HSO.: schedule_1: the schedule starts at sigma 700, but"
    ):
        compare(schedule_1=high, model=flow)


def test_a_name_may_have_another_sampler_in_front(execute):
    """It is what the node gives with that sampler alone; and the best one comes out with its sampler."""
    both = execute(schedulers="karras, uni_pc karras, dpm_2 karras (KSampler), euler exponential", sampler_name="euler")
    rows = rows_of(both.args[0])
    for sampler, scheduler in (("euler", "karras"), ("uni_pc", "karras"), ("dpm_2", "karras (KSampler)")):
        alone = rows_of(execute(schedulers=scheduler, sampler_name=sampler).args[0])[scheduler]
        assert rows[scheduler if sampler == "euler" else f"{sampler} {scheduler}"][:3] == alone[:3]
    assert rows["dpm_2 karras (KSampler)"][4] > rows["karras"][4] == 5
    best, sampler = both.args[3:]
    module = importlib.import_module("comfy.samplers")
    expected = module.sampler_object(next(iter(rows)).split()[0]).sampler_function.__name__
    assert sampler.sampler_function.__name__ == expected and len(best) > 2
    assert "euler where no other sampler is named" in both.args[0]


def test_all_may_have_a_sampler_in_front_too(compare):
    rows = rows_of(compare(schedulers="all, uni_pc all", pictures=1, steps=3)[0])
    assert {"karras", "uni_pc karras", "hso", "uni_pc hso", "simple", "uni_pc simple"} < set(rows)


def test_a_fitted_sampler_is_compared_with_its_own_schedule(pack, execute, model):
    """The weights of a sampler of ComfyUI, as one that was fitted, are as far from the converged picture as itself."""
    fitted = importlib.import_module(f"{pack.__name__}.nodes.sampling.fitted_sampler")
    solvers = importlib.import_module(f"{pack.__name__}.hso_core.solvers")
    known = importlib.import_module(f"{pack.__name__}.hso_core.solvers.known_solvers")
    host = importlib.import_module(f"{pack.__name__}.nodes.host")
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "exponential", 5)
    solver = known.known_solver("dpmpp_2m", sigmas, host.noise_schedule(model))
    assert isinstance(solver, solvers.LinearMultistep)
    sampler = fitted.as_sampler(solver)
    output = execute(sampler_1=sampler, schedulers="simple, euler simple, dpmpp_2m exponential")
    rows = rows_of(output.args[0])
    assert list(rows)[:2] in (["dpmpp_2m exponential", "sampler_1"], ["sampler_1", "dpmpp_2m exponential"])
    assert rows["sampler_1"][:3] == pytest.approx(rows["dpmpp_2m exponential"][:3], abs=2e-4)
    assert rows["sampler_1"][4] == 5
    both = execute(sampler_1=sampler, schedule_1=sigmas[1:], sampler_2=sampler, schedule_2=sigmas, schedulers="")
    assert set(rows_of(both.args[0])) == {"schedule_1", "schedule_2"} and both.args[4] is not None
    with pytest.raises(ValueError, match="^Compare Schedulers .HSO.: schedule_1: "):
        execute(sampler_1=sampler, schedule_1=torch.tensor([9.0, 3.0, 0.0]))
    with pytest.raises(ValueError, match="a fitted sampler belongs to its own schedule .* connect it to sampler_1"):
        execute(sampler=sampler)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schedulers": "euler_ancestral karras"}, "the sampler euler_ancestral adds random noise"),
        ({"schedulers": "euler kerras"}, "schedulers: there is no 'kerras'; choose from simple, "),
        ({"schedulers": "euler"}, "schedulers: there is no 'euler'; choose from simple, .*: dpmpp_2m karras"),
        ({"sampler_1": comfy.samplers.sampler_object("euler")}, "sampler_1: only a fitted sampler brings its schedule"),
        ({"schedulers": "karras, kerras"}, "schedulers: there is no 'kerras'; choose from simple, "),
        ({"schedulers": " "}, "there is nothing to compare; name schedulers, or connect schedules"),
        ({"schedule_1": torch.tensor([3.0, 4.0, 0.0])}, "schedule_1: value 2 .4. is not below value 1"),
        ({"sampler_name": "euler_ancestral"}, "the sampler euler_ancestral adds random noise"),
        ({"pictures": 0}, "pictures is 0; it must be a whole number from 1 to 128"),
        ({"steps": 1}, "steps is 1; it must be a whole number from 2 to 100"),
        ({"denoise": float("nan")}, "denoise is nan; it must be between 0.01 and 1"),
        ({"theme": "pink"}, "theme is 'pink'; it must be one of dark, "),
    ],
)
def test_what_cannot_be_compared_is_refused(compare, values, message):
    with pytest.raises(ValueError, match=f"^Compare Schedulers .HSO.: {message}"):
        compare(**values)
