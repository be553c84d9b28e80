"""The small flow-matching network draws digits, and its training makes it better."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks.models import flow_network, train_flow
from benchmarks.models.catalogue import digit_table, load_model, standardised
from benchmarks.models.reference import fine_sigmas
from benchmarks.models.solvers import SolverRun
from torch import Tensor

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    pictures, labels = digit_table()
    return standardised(pictures), labels


def nearest_labels(drawn: Tensor, digits: tuple[Tensor, Tensor]) -> Tensor:
    """The labels that the five most similar of all digits have most often; of moved and turned digits often wrong."""
    pictures, labels = digits
    nearest = torch.cdist(drawn.flatten(1), pictures.flatten(1)).topk(5, largest=False).indices
    return labels[nearest].mode(1).values


def test_what_is_foretold_of_pure_noise_is_the_mean_picture(digits: tuple[Tensor, Tensor]) -> None:
    model = load_model("flow-unet")
    noise = torch.randn(64, *model.shape, generator=torch.Generator().manual_seed(1))

    mean = digits[0].mean(0)
    assert (model.denoise(noise, 1.0).mean(0) - mean).square().mean().sqrt() < 0.25 * mean.std()


def test_it_removes_noise_from_digits(digits: tuple[Tensor, Tensor]) -> None:
    model, clean = load_model("flow-unet"), digits[0][::50]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))

    denoised = model.denoise(0.6 * clean + 0.4 * noise, 0.4)

    error = (denoised - clean).square().mean()
    assert error < 0.25 * (0.4 / 0.6) ** 2  # of what x / 0.6 is wrong by


def test_every_label_draws_its_digit(digits: tuple[Tensor, Tensor]) -> None:
    drawn = train_flow.samples(flow_network.load_network(), CPU)

    found = nearest_labels(drawn, digits).view(flow_network.ANY + 1, -1)
    assert (found[: flow_network.ANY] == torch.arange(flow_network.ANY)[:, None]).float().mean() > 0.7
    assert len(found[flow_network.ANY].unique()) > 4


def test_guidance_draws_the_digit_3(digits: tuple[Tensor, Tensor]) -> None:
    def share_of_threes(name: str) -> float:
        model = load_model(name)
        drawn = SolverRun(model, "dpmpp_2m")(fine_sigmas(model.noise, 20), range(16)).latents
        return float((nearest_labels(drawn, digits) == 3).float().mean())

    assert share_of_threes("flow-unet") < 0.4 < 0.9 < share_of_threes("flow-unet-guided")


def test_training_lowers_the_loss(digits: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_flow, "BATCH", 32)
    monkeypatch.setattr(train_flow, "DECAY", 0.9)  # the running mean of so few steps
    pictures, labels = digits[0][::40], digits[1][::40]

    @torch.no_grad()
    def loss(network: flow_network.FlowNetwork) -> float:
        torch.manual_seed(3)
        return float(train_flow.velocity_loss(network, pictures, labels))

    torch.manual_seed(train_flow.SEED)  # as train() begins
    untrained = loss(flow_network.FlowNetwork())
    assert loss(train_flow.train(60, CPU)) < 0.6 * untrained


def test_training_leaves_the_committed_weights_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = flow_network.WEIGHTS.read_bytes()
    assert train_flow.parse([]).output != flow_network.WEIGHTS
    monkeypatch.setattr(train_flow, "train", lambda steps, device: flow_network.FlowNetwork().eval())

    train_flow.main(train_flow.parse(["--output", str(tmp_path / "new" / "weights.safetensors")]))

    assert {file.name for file in (tmp_path / "new").iterdir()} == {"weights.safetensors", "weights.png"}
    assert flow_network.WEIGHTS.read_bytes() == committed
