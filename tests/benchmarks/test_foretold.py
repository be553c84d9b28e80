"""What SignedDefect foretells, against the host's own solvers on data whose denoiser it describes exactly."""

from __future__ import annotations

import pytest
import torch
from benchmarks.models.catalogue import Mixture, TestModel, flow_denoiser, load_model, vp_denoiser
from benchmarks.models.solvers import SOLVERS, SolverRun

from hso_core.calibration.generators import compact_schedule
from hso_core.calibration.reference import Reference, reference_sigmas
from hso_core.calibration.signed_defect import SignedDefect

SCALE = 0.6


def isotropic(like: str) -> TestModel:
    """N(0, SCALE^2) in 196 dimensions with the noise schedule of another model."""
    model = load_model(like)
    mixture = Mixture(torch.zeros(1, 196).double(), torch.full((1, 1), SCALE**2).double(), torch.zeros(1).double())
    denoise = (flow_denoiser if model.noise.family == "flow" else vp_denoiser)(mixture)
    return TestModel(like, 1, model.shape, model.noise, denoise, model.make_sampling, "one Gaussian")


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("like", ["digits-1", "digits-flow"])
@pytest.mark.parametrize("steps", [2, 3, 5, 8])
def test_the_foretold_error_is_that_of_the_hosts_solver(like: str, solver: str, steps: int) -> None:
    model = isotropic(like)
    made = Reference(SolverRun(model, "dpmpp_2m"), reference_sigmas(model.noise, 400))
    made.extend(range(4))
    foretell = SignedDefect(made.profile(), model.noise, solver)

    for rho, end in ((7.0, 0.1), (1.5, 0.5), (3.0, 0.05)):
        sigmas = compact_schedule(model.noise, steps, rho, 1.0, end)
        latents = SolverRun(model, solver)(sigmas.float(), range(4)).latents
        true = float(made.distances(latents, range(4)).square().mean().sqrt())
        # the data's scale is only estimated, from four seeds, and the host's uni_pc ends at sigma 0.001
        assert float(foretell(sigmas[:-1, None].numpy())[0]) == pytest.approx(true, rel=0.06, abs=2e-3)
