"""The name of what a sampling depends on: patches that remember their last step."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest
import torch

import host_import

host_import.import_host()

import comfy.sd  # noqa: E402
import nodes as core_nodes  # noqa: E402
from comfy_extras import nodes_apg, nodes_easycache, nodes_hypertile, nodes_sag, nodes_tomesd  # noqa: E402

import tiny_checkpoints  # noqa: E402


@pytest.fixture(scope="module")
def fingerprint(pack):
    return importlib.import_module(f"{pack.__name__}.nodes.model_fingerprint").fingerprint


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    """A small SD 1.5 through the host's loader."""
    path = tiny_checkpoints.write_checkpoint("SD15", tmp_path_factory.mktemp("checkpoint"))
    return comfy.sd.load_checkpoint_guess_config(str(path), output_vae=False, output_clip=False)[0]


NODES = {  # the host's nodes of which some remember their last step, with a setting
    "APG": lambda model, setting: nodes_apg.APG.execute(model, 1.0, 5.0, setting),
    "SAG": lambda model, setting: nodes_sag.SelfAttentionGuidance.execute(model, setting, 2.0),
    "ToMe": lambda model, setting: nodes_tomesd.TomePatchModel.execute(model, setting),
    "HyperTile": lambda model, setting: nodes_hypertile.HyperTile.execute(model, 32, 2 + int(setting), 0, False),
    "EasyCache": lambda model, setting: nodes_easycache.EasyCacheNode.execute(model, setting, 0.15, 0.95, False),
    "LazyCache": lambda model, setting: nodes_easycache.LazyCacheNode.execute(model, setting, 0.15, 0.95, False),
}


@pytest.mark.parametrize("node", NODES)
def test_a_patch_of_the_host_counts_by_its_settings_and_not_by_its_last_step(fingerprint, unet, node):
    def patched(setting):
        return tuple(NODES[node](unet, setting))[0]

    model = patched(0.25)
    name = fingerprint(model)
    generator = torch.Generator().manual_seed(0)
    positive, negative = ([[torch.randn(1, 7, 768, generator=generator), {}]] for _ in range(2))
    latent = {"samples": torch.zeros(1, 4, 16, 16)}
    with torch.inference_mode():
        core_nodes.common_ksampler(model, 1, 3, 3.0, "euler", "simple", positive, negative, latent)
    assert name == fingerprint(model) == fingerprint(patched(0.25)) != fingerprint(patched(1.5))
    assert name != fingerprint(unet)


def running_sum(start):
    total, factor = 0.0, start

    def add(arguments):
        nonlocal total
        arguments.factor = factor
        total += arguments.factor
        return total

    return add


def running_sum_within(start):
    """The same, assigned by a function within the patch, and read by another patch."""
    total, factor = 0.0, start

    def read():
        return total

    def add(arguments):
        def assign():
            nonlocal total
            total += factor

        assign()
        return total

    return {"a": read, "b": add}


@pytest.mark.parametrize("make", [running_sum, running_sum_within])
def test_a_variable_that_a_patch_assigns_does_not_count_and_one_that_it_reads_does(fingerprint, make):
    patch = make(1.0)
    name = fingerprint(patch)
    (patch["b"] if isinstance(patch, dict) else patch)(SimpleNamespace())
    assert name == fingerprint(patch) == fingerprint(make(1.0)) != fingerprint(make(2.0))
