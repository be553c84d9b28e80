"""The emoji networks: their data, what they draw, and that training makes them better."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks.models import sd_unet, train_sd_unet
from benchmarks.models.catalogue import SD_CLASS, load_model, sd_network
from benchmarks.models.emoji import as_latents, emoji_table
from benchmarks.models.reference import fine_sigmas
from benchmarks.models.sd_unet import ANY, CLASSES
from benchmarks.models.solvers import SolverRun
from torch import Tensor

CPU = torch.device("cpu")
PREDICTIONS = sorted(sd_unet.WEIGHTS)


@pytest.fixture(scope="module")
def emoji() -> tuple[Tensor, Tensor, Tensor]:
    """Latents, labels, which are held out."""
    pictures, labels, held_out = emoji_table()
    return as_latents(pictures.float() / 255), labels, held_out


def nearest_labels(drawn: Tensor, emoji: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The labels that the five most similar of all emoji have most often."""
    latents, labels, _ = emoji
    return labels[torch.cdist(drawn.flatten(1), latents.flatten(1)).topk(5, largest=False).indices].mode(1).values


# -- the data ----------------------------------------------------------------------------------------------------------


def test_the_emoji_have_a_class_each_and_the_same_ones_are_held_out(emoji: tuple[Tensor, Tensor, Tensor]) -> None:
    latents, labels, held_out = emoji

    assert latents.shape == (1906, 3, sd_unet.SIDE, sd_unet.SIDE)
    assert labels.unique().tolist() == list(range(len(CLASSES)))
    assert held_out.sum() == 199 and held_out.nonzero()[:5, 0].tolist() == [25, 48, 60, 62, 67]
    assert latents.mean().abs() < 0.05 and 0.95 < latents.std() < 1.05


def test_pictures_and_latents_are_each_others_inverse() -> None:
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    latents = as_latents(pictures.repeat_interleave(2, 2).repeat_interleave(2, 3))

    torch.testing.assert_close(sd_unet.pictures(latents), pictures.movedim(1, -1))


def test_changed_pictures_stay_on_white_and_keep_their_greys() -> None:
    torch.manual_seed(1)
    page = torch.ones(32, 3, 64, 64)
    page[:, :, 24:40, 24:40] = 0.5
    changed = train_sd_unet._changed(page, torch.zeros(32).long())

    torch.testing.assert_close(changed, changed.mean(1, keepdim=True).expand_as(changed))
    torch.testing.assert_close(changed[:, :, 30:34, 30:34], torch.full((32, 3, 4, 4), 0.5))
    assert (changed[:, :, :4] == 1).all() and (changed[:, :, -4:] == 1).all()


def test_only_some_classes_are_mirrored() -> None:
    page = torch.ones(64, 3, 64, 64)
    page[..., :20] = 0

    def bars_at_the_right(name: str) -> int:
        torch.manual_seed(2)
        changed = train_sd_unet._changed(page, torch.full((64,), CLASSES.index(name)))
        return int((changed[:, 0, 32, 56] < changed[:, 0, 32, 8]).sum())

    assert bars_at_the_right("flags") == 0
    assert 16 < bars_at_the_right("animals") < 48


# -- the networks ------------------------------------------------------------------------------------------------------


def test_the_weights_are_small_enough_to_be_committed() -> None:
    assert sum(file.stat().st_size for file in sd_unet.WEIGHTS.values()) < 6e6


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_they_remove_noise_from_pictures_they_never_saw(prediction: str, emoji: tuple[Tensor, Tensor, Tensor]) -> None:
    latents, _, held_out = emoji
    clean, network = latents[held_out][:64], sd_unet.load_network(prediction)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))

    for sigma, left in ((0.2, 0.5), (1.0, 0.25)):
        denoised = network.denoised(clean + sigma * noise, sigma, ANY)
        assert (denoised - clean).square().mean() < left * sigma**2


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_what_is_foretold_of_pure_noise_is_the_mean_picture(
    prediction: str, emoji: tuple[Tensor, Tensor, Tensor]
) -> None:
    network, mean = sd_unet.load_network(prediction), emoji[0].mean(0)
    sigma = float(sd_unet.sigma_table(prediction)[-1])
    noise = torch.randn(64, *mean.shape, generator=torch.Generator().manual_seed(1))

    foretold = network.denoised(noise * sigma + mean, sigma, ANY).mean(0)
    assert (foretold - mean).square().mean() < 0.25 * mean.var()


def test_weights_of_labels_are_mixtures_of_them() -> None:
    network = sd_unet.load_network("eps")
    x, times = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3)), torch.tensor([900, 30])
    labels = torch.tensor([4, ANY])

    weights = torch.nn.functional.one_hot(labels, ANY + 1).float()
    torch.testing.assert_close(network(x, times, weights), network(x, times, labels))
    assert not torch.allclose(network(x, times, weights.flip(0)), network(x, times, labels), atol=0.01)


def test_the_prediction_of_noise_and_of_velocity_say_the_same() -> None:
    """denoised() of either is cos(angle) x - sin(angle) v, at the same angle."""
    network = sd_unet.load_network("eps")
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    at = network.angles[500]

    v = network.velocity(x, at.expand(3), torch.full((3,), 7))
    denoised = network.denoised(x / at.cos(), float(at.tan()), 7)
    torch.testing.assert_close(denoised, at.cos() * x - at.sin() * v, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_guidance_draws_the_class(prediction: str, emoji: tuple[Tensor, Tensor, Tensor]) -> None:
    def share(guidance: float, label: int) -> float:
        model = sd_network("emoji", prediction, label, guidance, "")
        drawn = SolverRun(model, "dpmpp_2m")(fine_sigmas(model.noise, 16), range(16)).latents
        return float((nearest_labels(drawn, emoji) == CLASSES.index(SD_CLASS)).float().mean())

    assert share(1, ANY) < 0.4 < 0.8 < share(7.5, CLASSES.index(SD_CLASS))


def test_the_benchmarks_models_are_these() -> None:
    plain, guided = load_model("sd-unet"), load_model("sd-unet-guided")
    network = sd_unet.load_network("eps")
    x = 3 * torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))

    anything, wanted = (network.denoised(x, 3.0, label) for label in (ANY, CLASSES.index(SD_CLASS)))
    torch.testing.assert_close(plain.denoise(x, 3.0), anything)
    torch.testing.assert_close(guided.denoise(x, 3.0), 7.5 * wanted - 6.5 * anything, rtol=1e-4, atol=1e-4)


# -- training ----------------------------------------------------------------------------------------------------------


def loss_of(network: sd_unet.SDNetwork, emoji: tuple[Tensor, Tensor, Tensor]) -> float:
    torch.manual_seed(3)
    with torch.no_grad():
        return float(train_sd_unet.velocity_loss(network, emoji[0][::40], emoji[1][::40]))


def test_training_lowers_the_loss(emoji: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_sd_unet, "BATCH", 16)
    monkeypatch.setattr(train_sd_unet, "WARMUP", 1)
    monkeypatch.setattr(train_sd_unet, "DECAY", 0.9)  # the running mean of so few steps
    kept: list[int] = []
    torch.manual_seed(train_sd_unet.SEED)
    network = sd_unet.SDNetwork("eps")
    untrained = loss_of(network, emoji)

    trained = train_sd_unet.train(
        network, 1, train_sd_unet.RATE, CPU, lambda network, step, loss: kept.append(step), steps=60
    )

    assert loss_of(trained, emoji) < 0.85 * untrained
    assert kept == [60]


def test_the_second_training_goes_on_from_the_first_ones_weights(
    emoji: tuple[Tensor, Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[float] = []

    def train(network: sd_unet.SDNetwork, minutes: float, rate: float, *_: object) -> sd_unet.SDNetwork:
        begun.extend((loss_of(network, emoji), minutes, rate))
        return network

    monkeypatch.setattr(train_sd_unet, "train", train)
    file = str(sd_unet.WEIGHTS["eps"])
    output = str(tmp_path / "w.safetensors")
    train_sd_unet.main(
        train_sd_unet.parse(["--prediction", "v", "--start", file, "--minutes", "3", "--output", output])
    )

    assert begun[0] < 1.5 * loss_of(sd_unet.load_network("eps"), emoji)
    assert begun[1:] == [3, train_sd_unet.RATE_ONWARDS]


def test_training_leaves_the_committed_weights_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = sd_unet.WEIGHTS["eps"].read_bytes()
    monkeypatch.setattr(train_sd_unet.downloads, "FOLDER", tmp_path / "new")
    monkeypatch.setattr(
        train_sd_unet, "train", lambda network, minutes, rate, device, keep: keep(network.requires_grad_(False), 7, 0.5)
    )

    train_sd_unet.main(train_sd_unet.parse([]))

    (written,) = (tmp_path / "new").iterdir()
    assert written.name == "sd_unet.safetensors" and sd_unet.load_network("eps", written)
    assert sd_unet.WEIGHTS["eps"].read_bytes() == committed
