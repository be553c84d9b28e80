"""The benchmark on a user's model, through the host's own sampling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from benchmarks import __main__ as program
from benchmarks.__main__ import parse
from benchmarks.measures.features import pictures_in
from benchmarks.models import downloads
from benchmarks.models.catalogue import MODELS
from benchmarks.rivals.schedules import STEPS
from benchmarks.studies import checkpoint
from PIL import Image

import host_import


@pytest.fixture(scope="module")
def subject() -> checkpoint.Subject:
    """The demonstration network with two prompts, which it ignores."""
    host_import.import_host()
    import galaxies

    prompts = [galaxies.conditioning(), galaxies.conditioning()]
    return checkpoint.Subject(
        "hsc32", galaxies.galaxy_model(), prompts, prompts[0], galaxies.galaxy_latent(), Upscaler()
    )


class Upscaler:
    """In a VAE's place: grey pictures of the first channel."""

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return (latents.movedim(1, -1)[..., :1] / 8).clamp(0, 1).expand(-1, -1, -1, 3)


def test_rows_hold_every_schedule_the_best_first(subject: checkpoint.Subject) -> None:
    def brightness(pictures: torch.Tensor) -> torch.Tensor:
        return torch.cat([pictures.amax((1, 2)), pictures.mean((1, 2))], 1).double()

    reference = torch.rand(5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    [converged], *groups = checkpoint.benchmark(subject, "dpmpp_2m", [4, 5], 1.0, 300, reference, brightness)

    assert (converged["method"], converged["rmse_mean"]) == ("converged", 0)
    assert len(groups) == 2
    for steps, rows in zip((4, 5), groups, strict=True):
        assert {"calibrated", "karras", "beta", "hso"} <= {row["method"] for row in rows}
        errors = [row["rmse_mean"] for row in rows]
        assert errors == sorted(errors) and 0.01 < errors[0] < 0.5
        assert all(row["evaluations"] == row["steps"] == steps for row in rows)
        assert all(row["fid"] > 0 for row in rows)
    assert checkpoint.table(rows).splitlines()[0] == "| method | rmse_mean | rmse_median | rmse_p95 | fid |"


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpm_adaptive"])
def test_a_sampler_without_a_converged_picture_is_refused(subject: checkpoint.Subject, sampler: str) -> None:
    with pytest.raises(ValueError, match=sampler):
        next(checkpoint.benchmark(subject, sampler, [4], 1.0, 300))


def test_pictures_of_a_folder(tmp_path: Path) -> None:
    Image.new("RGB", (5, 3), (255, 0, 51)).save(tmp_path / "one.png")
    (tmp_path / "notes.txt").write_text("not a picture")

    (picture,) = pictures_in(tmp_path)
    assert picture.shape == (3, 5, 3)
    torch.testing.assert_close(picture[0, 0], torch.tensor([1.0, 0.0, 0.2]))
    with pytest.raises(ValueError, match="holds no pictures"):
        list(pictures_in(tmp_path / "nowhere"))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Names of files of which all but `missing` are there."""
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "prompts.txt").write_text("a galaxy\n\n")
    (tmp_path / "empty.txt").write_text("\n")
    names = ("model.safetensors", "prompts.txt", "empty.txt", "missing")
    return {name.partition(".")[0]: str(tmp_path / name) for name in names}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("--checkpoint {model}", "--checkpoint and --prompts belong together"),
        ("--checkpoint {missing} --prompts {prompts}", "there is no file"),
        ("--checkpoint {model} --prompts {missing}", "there is no file"),
        ("--checkpoint {model} --prompts {empty}", "holds no prompts"),
        ("--checkpoint {model} --prompts {prompts} --reference-images {missing}", "holds no pictures"),
        ("--checkpoint {model} --prompts {prompts} --features vgg", "invalid choice: 'vgg'"),
        ("--checkpoint {model} --prompts {prompts} --steps 0", "--steps must be 1 or more"),
        ("--checkpoint {model} --prompts {prompts} --quick", "not allowed with"),
        ("--quick --models gaussian", "not allowed with"),
        ("--page --quick", "not allowed with"),
        ("--steps 4", "--steps belongs to --checkpoint"),
        ("--quick --reference-images {missing}", "--reference-images belongs to --checkpoint"),
    ],
)
def test_options_that_cannot_be_followed_are_refused(
    files: dict[str, str], arguments: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments.format(**files).split())
    assert complaint in capsys.readouterr().err


def test_what_is_not_said_of_a_checkpoint_is_the_default(files: dict[str, str]) -> None:
    options = parse("--checkpoint {model} --prompts {prompts} --cfg 4".format(**files).split())

    assert (options.cfg, options.sampler, options.steps) == (4.0, "dpmpp_2m", [4, 5, 6, 8])


def test_a_part_is_not_written_into_the_repository() -> None:
    whole = program.files_for(list(MODELS), STEPS)

    assert whole == (program.RESULTS, program.ABOUT, program.PAGE)
    for part in (program.files_for(["gaussian"], STEPS), program.files_for(list(MODELS), (4, 6))):
        assert {file.parent for file in part} == {downloads.FOLDER}


def test_the_page_of_a_part_says_what_it_is_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cells = [cell for cell in json.loads(program.RESULTS.read_text("utf-8")) if cell["model"] == "gaussian"]
    about = json.loads(program.ABOUT.read_text("utf-8"))
    about["models"] = {"gaussian": about["models"]["gaussian"]}
    monkeypatch.setattr(program, "run", lambda models, steps: ([c for c in cells if c["steps"] in steps], about))
    monkeypatch.setattr(downloads, "FOLDER", tmp_path)

    assert program.main(["--models", "gaussian"]) == 0

    page = (tmp_path / "benchmark.md").read_text("utf-8")
    assert "by `python -m benchmarks --models gaussian`" in page
    assert "Only a part was measured: N = 4, 5, 6, 8, 10 on gaussian" in page
    assert len(json.loads((tmp_path / "results.json").read_text("utf-8"))) == len(cells)
