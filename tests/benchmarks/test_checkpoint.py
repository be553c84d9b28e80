"""The benchmark on a user's model, through the host's own sampling."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks.quality import checkpoint
from benchmarks.quality.__main__ import parse
from benchmarks.quality.features import pictures_in
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
    rows = checkpoint.benchmark(subject, "dpmpp_2m", 4, 1.0, 300, reference, brightness)
    methods = [row["method"] for row in rows]

    assert methods[0] == "converged" and rows[0]["rmse_mean"] == 0
    assert {"calibrated", "karras", "beta", "hso"} <= set(methods)
    errors = [row["rmse_mean"] for row in rows]
    assert errors == sorted(errors) and 0.01 < errors[1] < 0.5
    assert all(row["evaluations"] == 4 for row in rows[1:])
    assert all(row["fid"] > 0 for row in rows)
    assert checkpoint.table(rows).splitlines()[0] == "| method | rmse_mean | rmse_median | rmse_p95 | fid |"


def test_pictures_of_a_folder(tmp_path: Path) -> None:
    Image.new("RGB", (5, 3), (255, 0, 51)).save(tmp_path / "one.png")
    (tmp_path / "notes.txt").write_text("not a picture")

    (picture,) = pictures_in(tmp_path)
    assert picture.shape == (3, 5, 3)
    torch.testing.assert_close(picture[0, 0], torch.tensor([1.0, 0.0, 0.2]))
    with pytest.raises(ValueError, match="holds no pictures"):
        list(pictures_in(tmp_path / "nowhere"))


def test_checkpoint_and_prompts_belong_together(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--checkpoint", "model.safetensors"])
    assert "--checkpoint and --prompts belong together" in capsys.readouterr().err
