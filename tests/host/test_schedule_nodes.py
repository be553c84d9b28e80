"""The nodes that keep, load and change schedules, executed in a real ComfyUI in this process."""

from __future__ import annotations

import importlib
import json
import os
import re

import numpy as np
import pytest
import tomllib
import torch

import host_import
import hso_core
import workbench
from hso_core import named_schedule, optimize_schedule
from hso_core.schedule.baselines import TABLES
from hso_core.schedule.schedule_file import read_schedule, write_schedule

host_import.import_host()

import comfy.cli_args  # noqa: E402
import comfy.model_sampling as model_sampling  # noqa: E402
import folder_paths  # noqa: E402

import host_models  # noqa: E402

EIGHT = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0])
FLOW_FOUR = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0])


@pytest.fixture(scope="module")
def sd15():
    return host_models.model_with(
        type("ModelSampling", (model_sampling.ModelSamplingDiscrete, model_sampling.EPS), {})()
    )


@pytest.fixture(scope="module")
def flow():
    sampling = type("ModelSampling", (model_sampling.ModelSamplingDiscreteFlow, model_sampling.CONST), {})()
    sampling.set_parameters(shift=3.0)
    return host_models.model_with(sampling)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    monkeypatch.setattr(folder_paths, "user_directory", str(tmp_path / "user"))
    return {"output": tmp_path / "output" / "schedules", "user": tmp_path / "user" / "default" / "schedules"}


@pytest.fixture
def run(node_classes):
    """run(id, **inputs): execute a node, with the defaults of its widgets."""

    def execute(node_id, **inputs):
        cls = node_classes[node_id]
        defined = cls.INPUT_TYPES()
        widgets = {**defined.get("required", {}), **defined.get("optional", {})}
        defaults = {name: rest[0]["default"] for name, (_, *rest) in widgets.items() if rest and "default" in rest[0]}
        with torch.inference_mode():
            return cls.PREPARE_CLASS_CLONE(None).execute(**{**defaults, **inputs})

    return execute


def test_a_saved_schedule_is_loaded_with_where_it_comes_from(run, folders, sd15):
    sigmas = torch.tensor(optimize_schedule(named_schedule("sd15"), 5).sigmas)
    saved = run(
        "HSOSaveSchedule", sigmas=sigmas, name="soft/light", sampler="dpmpp_2m", note="for portraits", model=sd15
    )
    assert saved.ui["text"] == ["soft/light_00001_.safetensors [output]"]
    loaded, report, _ = run("HSOLoadSchedule", file=saved.ui["text"][0], model=sd15).args
    assert torch.equal(loaded, sigmas)
    for words in ("5 steps, from soft/light_00001_", "Sampler it was made for: dpmpp_2m", "for portraits"):
        assert words in report
    assert named_schedule("sd15").fingerprint in report and "Warning" not in report
    facts = dict(tuple(fact) for fact in run("HSOLoadSchedule", file=saved.ui["text"][0]).ui["hso_plot"][0]["facts"])
    assert facts == {"sampler": "dpmpp_2m", "note": "for portraits"}


def test_files_are_numbered_and_never_overwritten(run, folders):
    for folder in ("output", "user"):
        names = [run("HSOSaveSchedule", sigmas=EIGHT * k, name="x", folder=folder).ui["text"][0] for k in (1, 2, 3)]
        assert names == [f"x_0000{k}_.safetensors [{folder}]" for k in (1, 2, 3)]
        assert [run("HSOLoadSchedule", file=name).args[0][0] for name in names] == [8, 16, 24]
        assert sorted(file.name for file in folders[folder].iterdir()) == [name.split(" [")[0] for name in names]


def test_the_list_shows_what_is_in_the_folders_now(run, node_classes, folders):
    def listed():
        return node_classes["HSOLoadSchedule"].INPUT_TYPES()["required"]["file"][1]["options"]

    assert listed() == []
    run("HSOSaveSchedule", sigmas=EIGHT, name="b", folder="user")
    run("HSOSaveSchedule", sigmas=EIGHT, name="sub/a")
    (folders["output"] / "notes.txt").write_text("no schedule")
    assert listed() == ["sub/a_00001_.safetensors [output]", "b_00001_.safetensors [user]"]


@pytest.mark.parametrize("file", ["../../secret.safetensors [output]", "/etc/passwd", "", "x [user]", "a\0b"])
def test_nothing_outside_the_list_is_opened(run, node_classes, folders, file):
    (folders["output"].parent.parent / "secret.safetensors").parent.mkdir(parents=True, exist_ok=True)
    hso_core.schedule.schedule_file.write_schedule(folders["output"].parent.parent / "secret.safetensors", EIGHT, {})
    assert "there is no schedule" in node_classes["HSOLoadSchedule"].validate_inputs(file=file)
    with pytest.raises(ValueError, match="^Load Sigmas .HSO.: there is no schedule"):
        run("HSOLoadSchedule", file=file)


def test_load_without_any_file_says_how_to_get_one(node_classes, folders, run):
    """The browser then sends null, as for a link."""
    assert node_classes["HSOLoadSchedule"].validate_inputs(file=None) is True
    with pytest.raises(ValueError, match="^Load Sigmas .HSO.: there is no schedule yet; keep one with Save Sigmas"):
        run("HSOLoadSchedule", file=None)
    assert "no schedule '5'" in node_classes["HSOLoadSchedule"].validate_inputs(file=5)


def test_dangerous_names_are_refused_before_anything_runs(run, node_classes, folders):
    cls = node_classes["HSOSaveSchedule"]
    assert cls.validate_inputs(name="portraits/soft") is True and cls.validate_inputs(name=None) is True
    assert "must not contain the part '..'" in cls.validate_inputs(name="../../x")
    with pytest.raises(ValueError, match="^Save Sigmas .HSO.: the name '/etc/x' must not be an absolute path"):
        run("HSOSaveSchedule", sigmas=EIGHT, name="/etc/x")
    assert not folders["output"].exists()


def test_a_folder_that_is_not_in_the_list_is_refused(run, folders):
    with pytest.raises(ValueError, match="^Save Sigmas .HSO.: folder is 'desk'; it must be one of output, user"):
        run("HSOSaveSchedule", sigmas=EIGHT, name="x", folder="desk")


def test_several_users_have_no_user_folder_in_common(run, node_classes, folders, monkeypatch):
    """What lies there is nobody's own: with --multi-user ComfyUI gives each user a folder of another name."""
    kept = run("HSOSaveSchedule", sigmas=EIGHT, name="mine", folder="user").ui["text"][0]
    offered = node_classes["HSOSaveSchedule"].INPUT_TYPES()["required"]["folder"][1]["options"]
    monkeypatch.setattr(comfy.cli_args.args, "multi_user", True)
    assert node_classes["HSOSaveSchedule"].INPUT_TYPES()["required"]["folder"][1]["options"] == offered
    message = "Save Sigmas .HSO.: folder is 'user', but this ComfyUI has several users, .*; use output, whose files"
    with pytest.raises(ValueError, match=f"^{message}"):
        run("HSOSaveSchedule", sigmas=EIGHT, name="x", folder="user")
    assert [path.name for path in folders["user"].iterdir()] == ["mine_00001_.safetensors"]
    with pytest.raises(ValueError, match="^Load Sigmas .HSO.: there is no schedule 'mine_00001_.safetensors .user.'"):
        run("HSOLoadSchedule", file=kept)
    shared = run("HSOSaveSchedule", sigmas=EIGHT, name="x").ui["text"][0]
    assert torch.equal(run("HSOLoadSchedule", file=shared).args[0], EIGHT)


def test_a_schedule_that_starts_above_the_connected_model_is_announced_or_not_saved(run, folders, sd15, flow, caplog):
    high = torch.tensor([700.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="^Save Sigmas .HSO.: the schedule starts at sigma 700, but the largest of"):
        run("HSOSaveSchedule", sigmas=high, name="x", model=flow)
    assert not folders["output"].exists() and not caplog.text
    saved = run("HSOSaveSchedule", sigmas=high, name="x", model=sd15)
    said = "the schedule starts at sigma 700, above the largest of this model, 14.6146: the model takes it for that"
    assert said in caplog.text and said in saved.ui["hso_plot"][0]["note"]
    assert said in run("HSOLoadSchedule", file=saved.ui["text"][0], model=sd15).args[1]


def test_a_loaded_schedule_that_starts_low_is_announced(run, folders, sd15, caplog):
    folders["output"].mkdir(parents=True)
    write_schedule(folders["output"] / "low.safetensors", torch.tensor([1.0, 0.5, 0.0]), {})
    report = run("HSOLoadSchedule", file="low.safetensors [output]", model=sd15).args[1]
    assert report.startswith("Warning: the schedule starts at sigma 1, which is 35%") and "35%" in caplog.text


@pytest.mark.parametrize("disabled", [False, True])
def test_disable_metadata_keeps_the_workflow_out_of_the_file(pack, run, folders, monkeypatch, disabled):
    module = importlib.import_module(f"{pack.__name__}.nodes.schedules.files")
    monkeypatch.setattr(module.host, "origin", lambda *_: {"node": "KarrasScheduler"})
    monkeypatch.setattr(comfy.cli_args.args, "disable_metadata", disabled)
    run("HSOSaveSchedule", sigmas=EIGHT, name="x")
    assert ("made_by" in read_schedule(folders["output"] / "x_00001_.safetensors")[1]) is not disabled


def test_a_folder_that_cannot_be_made_is_said(run, folders):
    folders["output"].parent.mkdir(parents=True)
    folders["output"].write_text("a file where the folder should be")
    with pytest.raises(ValueError, match="^Save Sigmas .HSO.: the folder for 'x' in 'schedules' cannot be used: "):
        run("HSOSaveSchedule", sigmas=EIGHT, name="x")


def test_every_node_has_a_help_page_with_its_inputs_a_picture_and_an_example(node_classes):
    docs = workbench.REPOSITORY / "web" / "docs"
    for node_id, cls in node_classes.items():
        page = (docs / f"{node_id}.md").read_text("utf-8")
        order = cls.GET_NODE_INFO_V1()["input_order"]
        middle = {f"schedule_{k}" for k in range(2, 8)}  # of Plot Sigmas: "schedule_1 to schedule_8"
        names = {name for group in ("required", "optional") for name in order.get(group, [])} - middle
        assert [name for name in sorted(names) if name not in page] == [], node_id
        pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", page)
        assert pictures and "\n## Example\n" in page and "\n## What usually follows\n" in page, node_id
        loose = re.findall(r"(?m)^- ", page.split("\n## Good to know\n")[-1].split("\n### ")[0])
        assert len(loose) < 7, "a long list is in groups"
        for picture in pictures:
            assert (docs / picture).is_file(), (node_id, picture)


def test_a_file_that_changes_is_read_again(run, node_classes, folders):
    cls = node_classes["HSOLoadSchedule"]
    file = run("HSOSaveSchedule", sigmas=EIGHT, name="x").ui["text"][0]
    path = folders["output"] / "x_00001_.safetensors"
    before, linked, stamp = cls.fingerprint_inputs(file=file), cls.fingerprint_inputs(file=None), path.stat()
    assert cls.fingerprint_inputs(file=file, model=None) == before
    assert cls.fingerprint_inputs(file=None) == linked
    hso_core.schedule.schedule_file.write_schedule(path, EIGHT / 2, {})
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # not even the time tells
    assert cls.fingerprint_inputs(file=file) != before
    assert cls.fingerprint_inputs(file=None) != linked, "None: the name comes over a link"
    path.unlink()
    assert "cannot be read" in cls.fingerprint_inputs(file=file)


def test_a_damaged_file_names_the_node_and_the_file(run, folders):
    folders["output"].mkdir(parents=True)
    (folders["output"] / "bad.safetensors").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="^Load Sigmas .HSO.: 'bad.safetensors' is damaged or cut"):
        run("HSOLoadSchedule", file="bad.safetensors [output]")


def test_a_schedule_of_another_model_is_announced_or_refused(run, folders, sd15, flow, caplog):
    of_sd = run("HSOSaveSchedule", sigmas=EIGHT, name="sd", model=sd15).ui["text"][0]
    of_flow = run("HSOSaveSchedule", sigmas=EIGHT / 8, name="flow", model=flow).ui["text"][0]
    with pytest.raises(ValueError, match="starts at sigma 8, but the largest of this flow model is 1"):
        run("HSOLoadSchedule", file=of_sd, model=flow)
    caplog.clear()
    loaded = run("HSOLoadSchedule", file=of_flow, model=sd15)
    announced = "was made for another noise schedule (flow, largest sigma 1) than the connected model's (vp, 14.6146)"
    assert announced in caplog.text and announced in loaded.args[1]
    assert announced in loaded.ui["hso_plot"][0]["note"]


def test_a_report_of_another_schedule_is_announced(run, folders, sd15, caplog):
    sigmas, report = run("HSOOptimizeSchedule", model=sd15, steps=5).args
    run("HSOSaveSchedule", sigmas=sigmas, report=report)
    assert "tells of other sigmas" not in caplog.text
    run("HSOSaveSchedule", sigmas=EIGHT, report=report)
    assert "Save Sigmas (HSO): the report that is saved with the schedule tells of other sigmas" in caplog.text
    metadata = read_schedule(folders["output"] / "schedule_00001_.safetensors")[1]
    assert metadata["report"] == report.strip() and metadata["pack_version"] == hso_core.__version__


def test_the_version_is_the_one_that_is_published():
    project = tomllib.loads((workbench.REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == hso_core.__version__


def test_presets_say_what_they_are(run, sd15, flow, caplog):
    sigmas, report = run("HSOPresetSchedule", preset="AYS SDXL", model=sd15).args
    assert len(sigmas) == 11 and "AYS SDXL, 10 steps. The published values for 10 steps." in report
    assert "Made for SDXL." in report and "arXiv 2404.14507" in report and not caplog.text
    sigmas, report = run("HSOPresetSchedule", preset="AYS SDXL", steps=6).args
    assert len(sigmas) == 7 and "Not published for 6 steps (but for 10)" in report
    with pytest.raises(ValueError, match="^Preset Sigmas .HSO.: the schedule starts at sigma 14.6146"):
        run("HSOPresetSchedule", preset="AYS SDXL", model=flow)
    _, report = run("HSOPresetSchedule", preset="OSS Wan", model=flow).args
    warning = "OSS Wan was made for shift 8; the connected model has shift 3"
    assert f"Warning: {warning}\n" in report and warning in caplog.text


def test_a_second_stage_starts_below_full_noise_without_a_word(run, flow, caplog):
    sigmas, report = run("HSOPresetSchedule", preset="LTX-2.3 distilled, stage 2", model=flow).args
    assert sigmas.tolist() == pytest.approx([0.85, 0.725, 0.4219, 0]) and "Source: ComfyUI's templates" in report
    assert "Warning" not in report and not caplog.text


def test_every_preset_is_on_the_help_page():
    page = (workbench.REPOSITORY / "web" / "docs" / "HSOPresetSchedule.md").read_text("utf-8")
    assert [name for name in TABLES if name not in page] == []


def test_presets_keep_their_steps_at_lower_denoise(run, sd15, caplog):
    """ComfyUI's AlignYourSteps makes 5 steps of 10 at denoise 0.5; BasicScheduler makes 10."""
    whole = run("HSOPresetSchedule", preset="AYS SD 1.5", steps=20).args[0]
    half, report = run("HSOPresetSchedule", preset="AYS SD 1.5", denoise=0.5, model=sd15).args
    assert torch.equal(half, whole[-11:]) and "These are the last 10 of 20 steps." in report and not caplog.text
    with pytest.raises(ValueError, match="9000 steps at denoise 0.5 are the end of 18000"):
        run("HSOPresetSchedule", preset="AYS SD 1.5", steps=9000, denoise=0.5)


def test_the_tools(run, sd15):
    mixed, report = run("HSOBlendSchedules", first=EIGHT, second=EIGHT / 4).args
    assert mixed.tolist() == pytest.approx([4, 2, 1, 0.5, 0]) and "sigmas: " in report
    high, low, report = run("HSOSplitSchedule", sigmas=EIGHT, sigma=3.0).args
    assert (high.tolist(), low.tolist()) == ([8, 4, 3], [3, 2, 1, 0])
    assert report.startswith("Split at sigma 3: 2 steps are high, 3 low.")
    high, low, _ = run("HSOSplitSchedule", sigmas=EIGHT, where="step", step=1, sigma=99.0).args
    assert (high.tolist(), low.tolist()) == ([8, 4], [4, 2, 1, 0])
    high, low, report = run("HSOSplitSchedule", sigmas=EIGHT, sigma=9.0).args
    assert (high.tolist(), low.tolist()) == ([8], [8, 4, 2, 1, 0]) and "0 steps are high, 4 low. The schedule" in report
    pinned, report = run("HSOPinSigma", sigmas=EIGHT, sigma=2.5).args
    assert pinned.tolist() == [8, 4, 2.5, 1, 0] and report.startswith("Value 3 was 2, and is now 2.5.")
    later, _ = run("HSOStartAtDenoise", sigmas=EIGHT, model=sd15, denoise=0.5).args
    assert len(later) == 5 and 1.5 < later[0] < 1.7
    longer, _ = run("HSOResampleSchedule", sigmas=EIGHT, steps=7).args
    assert len(longer) == 8


def test_edit_sigmas_does_what_the_single_nodes_did_and_more(run, sd15, flow):
    def edit(kind, sigmas=EIGHT, **inputs):
        return run("HSOEditSigmas", edit=kind, sigmas=sigmas, **inputs).args

    for kind, node, given in (
        ("resample", "HSOResampleSchedule", {"steps": 7, "resampling": "monotone"}),
        ("pin", "HSOPinSigma", {"sigma": 2.5}),
        ("start at denoise", "HSOStartAtDenoise", {"model": sd15, "denoise": 0.5, "keep_steps": False}),
    ):
        now, before = edit(kind, **given), run(node, sigmas=EIGHT, **given).args
        assert torch.equal(now[0], before[0]) and now[1] == before[1]
    mixed = run("HSOBlendSchedules", first=EIGHT, second=EIGHT / 4, weight=0.3).args
    assert torch.equal(edit("blend", second=EIGHT / 4, weight=0.3)[0], mixed[0])
    assert edit("scale", factor=0.5)[0].tolist() == [4, 2, 1, 0.5, 0]
    assert edit("shift", FLOW_FOUR, factor=3.0, model=flow)[0].tolist() == pytest.approx([1, 0.9, 0.75, 0.5, 0])
    assert edit("join", second=torch.tensor([3.0, 0.5, 0.0]))[0].tolist() == [8, 4, 3, 0.5, 0]
    backwards, report = edit("flip", model=sd15)
    assert backwards.tolist() == pytest.approx([1e-4, 1, 2, 4, 8]) and "for unsampling" in report
    assert type(backwards).__name__ == "GuardedSigmas"


def test_a_split_can_keep_the_number_of_steps(run):
    high, low, report = run("HSOSplitSchedule", sigmas=EIGHT, sigma=2.5, keep_steps=True).args
    assert (high.tolist(), low.tolist()) == ([8, 4, 2.5], [2.5, 1, 0])
    assert report.startswith("Split at sigma 2.5: 2 steps are high, 2 low.")


def test_an_edit_says_what_it_needs(run, sd15):
    for kind, message in (
        ("shift", "model must be connected for this: it says whether it is a flow model"),
        ("start at denoise", "model must be connected for this: it says how much noise"),
        ("blend", "second must be connected"),
        ("join", "second must be connected"),
        ("sharpen", "edit is 'sharpen'; it must be one of resample, scale"),
    ):
        with pytest.raises(ValueError, match=f"^Edit Sigmas .HSO.: {message}"):
            run("HSOEditSigmas", edit=kind, sigmas=EIGHT)
    with pytest.raises(ValueError, match="starts at sigma 16, but the largest of this model is 14.6"):
        run("HSOEditSigmas", edit="scale", factor=2.0, sigmas=EIGHT, model=sd15)


@pytest.mark.parametrize(
    ("node", "inputs", "message"),
    [
        ("HSOBlendSchedules", {"first": EIGHT, "second": torch.ones(3)}, "Blend Schedules .HSO.: second: value 2"),
        ("HSOSplitSchedule", {"sigmas": EIGHT, "where": "step", "step": 4}, "Split Sigmas .HSO.: step is 4"),
        ("HSOPinSigma", {"sigmas": EIGHT, "sigma": 9.0}, "Pin Sigma .HSO.: cannot pin at sigma 9"),
        ("HSOResampleSchedule", {"sigmas": torch.empty(0)}, "Resample Schedule .HSO.: sigmas: a schedule has at least"),
    ],
)
def test_wrong_inputs_name_node_and_input(run, node, inputs, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        run(node, **inputs)


NUMBERS_OVER_LINKS = {
    "HSOOptimizeSchedule": ("steps", {}),
    "HSOResampleSchedule": ("steps", {"sigmas": EIGHT}),
    "HSOCustomSigmas": ("steps", {"text": "8 4 2 1 0"}),
    "HSOPresetSchedule": ("steps", {"preset": "AYS SDXL", "denoise": np.float32(0.5)}),
    "HSOSplitSchedule": ("sigma", {"sigmas": EIGHT}),
    "HSOPinSigma": ("sigma", {"sigmas": EIGHT}),
    "HSOEditSigmas": ("factor", {"sigmas": EIGHT, "edit": "scale"}),
}


@pytest.mark.parametrize("node", NUMBERS_OVER_LINKS)
def test_a_number_over_a_link_may_be_of_any_kind(run, sd15, node):
    """Other packs put out numpy's numbers, and floats where a whole number is meant."""
    name, inputs = NUMBERS_OVER_LINKS[node]
    inputs = {**inputs, "model": sd15} if node == "HSOOptimizeSchedule" else inputs
    expected = run(node, **inputs, **{name: 6}).args
    for six in (6.0, np.int64(6), np.float32(6), torch.tensor(6)):
        found = run(node, **inputs, **{name: six})
        assert torch.equal(found.args[0], expected[0]) and found.args[-1] == expected[-1]
        assert json.dumps(found.ui)
    with pytest.raises(ValueError, match=f"^[^:]*HSO[^:]*: {name} is '6'; "):
        run(node, **inputs, **{name: "6"})


def test_a_denoise_of_few_bits_gives_the_schedule_of_the_widget(run, sd15):
    for node in ("HSOOptimizeSchedule", "HSOStartAtDenoise", "HSOPresetSchedule"):
        inputs = {"sigmas": EIGHT} if node == "HSOStartAtDenoise" else {}
        found = [run(node, model=sd15, **inputs, denoise=d).args[0] for d in (0.1, np.float32(0.1), torch.tensor(0.1))]
        assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2]), node


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_another_default_dtype_changes_no_output(run, sd15, flow, dtype):
    """Some nodes leave torch's default dtype changed; core's own schedulers follow it, and only their faint curves."""

    def outputs():
        values = []
        for model in (sd15, flow):
            values.append(run("HSOOptimizeSchedule", model=model, steps=6))
            values.append(run("HSOStartAtDenoise", sigmas=values[-1].args[0], model=model, denoise=0.3))
        values.append(run("HSOSplitSchedule", sigmas=EIGHT / 8, sigma=0.9))
        values.append(run("HSOSplitSchedule", sigmas=EIGHT / 8, sigma=2.0))
        values.append(run("HSOPinSigma", sigmas=EIGHT, sigma=2.7))
        values.append(run("HSOBlendSchedules", first=EIGHT, second=EIGHT / 3, weight=0.3))
        values.append(run("HSOResampleSchedule", sigmas=EIGHT, steps=7, resampling="monotone"))
        values.append(run("HSOPresetSchedule", preset="AYS SDXL", steps=7, model=sd15))
        values.append(run("HSOCustomSigmas", text="14.6 6.47 3.3 0.9 0", steps=6, model=sd15))
        values.append(run("HSOPlotSchedules", schedule_1=EIGHT, model=sd15, axis="timestep"))
        tensors = [value for node in values for value in node.args if isinstance(value, torch.Tensor)]
        plots = [{**plot, "schedules": plot["schedules"][:1], "facts": []} for v in values for plot in v.ui["hso_plot"]]
        return tensors, plots

    before = torch.get_default_dtype()
    expected, plots = outputs()
    torch.set_default_dtype(dtype)
    try:
        found, other_plots = outputs()
    finally:
        torch.set_default_dtype(before)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32 and torch.equal(one, other)
    assert other_plots == plots


def test_incoming_schedules_stay_as_they_are_and_outputs_keep_the_contract(run, sd15):
    calls = {
        "HSOBlendSchedules": {"first": EIGHT, "second": EIGHT},
        "HSOSplitSchedule": {"sigmas": EIGHT, "sigma": 3.0},
        "HSOPinSigma": {"sigmas": EIGHT, "sigma": 3.0},
        "HSOStartAtDenoise": {"sigmas": EIGHT, "model": sd15, "denoise": 1.0},
        "HSOResampleSchedule": {"sigmas": EIGHT, "steps": 4},
        "HSOEditSigmas": {"sigmas": EIGHT, "edit": "scale"},
    }
    for node, inputs in calls.items():
        *outputs, _ = run(node, **inputs).args
        for sigmas in outputs:
            assert sigmas.dtype == torch.float32 and sigmas.device.type == "cpu"
            sigmas[:][-1] = 0.001  # what uni_pc does
            assert sigmas.untyped_storage().data_ptr() != EIGHT.untyped_storage().data_ptr()
            assert float(sigmas[-1]) != pytest.approx(0.001)
    assert EIGHT.tolist() == [8, 4, 2, 1, 0]


SAMPLER_TEXT = "sigmas: 8, 4, 1, 0\nweights:\n1\n-0.31, 1.31\n0.05, -0.4, 1.35"


def test_a_fitted_sampler_is_kept_with_its_schedule(run, folders):
    sampler, sigmas, text = run("HSOFittedSampler", text=SAMPLER_TEXT).args
    saved = run("HSOSaveSchedule", sigmas=sigmas, name="both", fitted_sampler=sampler, note="for portraits")
    loaded, report, again = run("HSOLoadSchedule", file=saved.ui["text"][0]).args
    assert torch.equal(loaded, sigmas) and "for portraits" in report and "3 steps" in report
    assert run("HSOFittedSampler", sampler=again).args[2] == text == SAMPLER_TEXT


def test_a_schedule_without_a_sampler_stops_what_asks_for_one(run, folders):
    from comfy_execution.graph_utils import ExecutionBlocker

    saved = run("HSOSaveSchedule", sigmas=EIGHT, name="plain").ui["text"][0]
    nothing = run("HSOLoadSchedule", file=saved).args[2]
    assert isinstance(nothing, ExecutionBlocker)
    assert nothing.message == f"{saved} holds a schedule without a fitted sampler; choose a sampler by name"


@pytest.mark.parametrize(
    ("sampler", "message"),
    [("euler", "the sampler in fitted_sampler was not fitted"), (SAMPLER_TEXT, "belongs to other sigmas")],
)
def test_no_other_sampler_is_kept_with_a_schedule(run, folders, sampler, message):
    import comfy.samplers

    given = comfy.samplers.sampler_object("euler") if sampler == "euler" else run("HSOFittedSampler", text=sampler)[0]
    with pytest.raises(ValueError, match=f"^Save Sigmas .HSO.: .*{message}"):
        run("HSOSaveSchedule", sigmas=EIGHT, name="x", fitted_sampler=given)
    assert not folders["output"].exists()
