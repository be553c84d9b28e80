"""A solver as a table of weights: its steps, the sigmas that it takes, its text and its file."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

import workbench
from by_path import import_path
from hso_core import named_schedule
from hso_core.files.safe_file import FileError
from hso_core.schedule.sigmas import SigmasError
from hso_core.solvers import (
    LinearMultistep,
    SolverError,
    known_solver,
    parse_solver,
    print_solver,
    read_solver,
    write_solver,
)

import_path(workbench.REPOSITORY / "benchmarks", "benchmarks")

SD15 = named_schedule("sd15")
SIGMAS = torch.tensor([14.5, 6.0, 2.5, 1.0, 0.3, 0.0])


def some_solver(sigmas=SIGMAS, seed=0, strengths=()) -> LinearMultistep:
    steps = len(sigmas) - 1
    weights = torch.randn(steps, steps, generator=torch.Generator().manual_seed(seed)).double().tril(-1)
    return LinearMultistep(sigmas, weights + torch.diag(1 - weights.sum(1)), torch.tensor(strengths))


STRENGTHS = (1.04, 0.97, 1.01, 1.0, 0.98)


def same(solver, other) -> bool:
    return all(torch.equal(getattr(solver, name), getattr(other, name)) for name in ("sigmas", "weights", "strengths"))


def turning(x, sigma):
    return torch.tanh(x / (1 + sigma[:, None])) + torch.sin(sigma)[:, None]


def test_a_prediction_that_never_turns_is_followed_exactly():
    target = torch.linspace(-2, 2, 6)
    x = 14.5 * torch.randn(3, 6) + target

    found = some_solver().sample(lambda x, _: target.expand_as(x), x, callback=None)
    assert torch.allclose(found, target.expand(3, 6), atol=1e-5)

    found = some_solver(strengths=STRENGTHS[:-1] + (1,)).sample(lambda x, _: target.expand_as(x), x)
    assert torch.allclose(found, target.expand(3, 6), atol=1e-5)


def test_the_steps_are_those_of_the_formula():
    solver, x = some_solver(strengths=STRENGTHS), 14.5 * torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    expected, seen = x.double(), []
    for i, (sigma, following) in enumerate(zip(SIGMAS[:-1].double(), SIGMAS[1:].double(), strict=True)):
        seen.append(turning(expected, sigma.expand(3)))
        whole = following / sigma * expected + (1 - following / sigma) * sum(
            weight * denoised for weight, denoised in zip(solver.weights[i], seen, strict=False)
        )
        expected = expected + STRENGTHS[i] * (whole - expected)

    assert torch.allclose(solver.sample(turning, x).double(), expected, atol=1e-5)
    assert torch.allclose(solver.coefficients.sum(1), torch.ones(5).double())
    again = LinearMultistep.of_coefficients(SIGMAS, solver.coefficients)
    assert torch.allclose(again.strengths, solver.strengths) and torch.allclose(again.weights, solver.weights)


@pytest.mark.parametrize("start", [SIGMAS[2], torch.tensor(2.0), torch.tensor(1.001)], ids=str)
def test_a_part_starts_and_ends_with_the_noise_that_its_sigmas_say(start):
    """Of a prediction that never turns all that is left is noise."""
    solver, noise = some_solver(strengths=STRENGTHS[:-1] + (1,)), torch.randn(4, 6).double()

    def left(sigmas):
        return float((solver.sample(lambda x, _: 0 * x, sigmas[0] * noise, sigmas) / noise).mean())

    assert left(SIGMAS[:3]) == pytest.approx(2.5) and left(SIGMAS[1:3]) == pytest.approx(2.5)
    whole = float(14.5 * solver.coefficients[:4, 0].prod())
    assert abs(whole - 0.3) > 0.001
    part = solver.on(torch.cat([start[None], SIGMAS[3:]]))
    near = 1e-5 if start > 1.5 else 0.05  # where only a little of the step is left
    assert float(start * part.coefficients[:-1, 0].prod()) == pytest.approx(whole, rel=near)


@pytest.mark.parametrize("solver", ["euler", "dpmpp_2m", "lms", "res_multistep"])
@pytest.mark.parametrize("model", ["hsc32", "flow-unet"])
def test_on_a_network_it_gives_the_pictures_of_the_hosts_sampler(model, solver):
    from benchmarks.models.catalogue import load_model
    from benchmarks.models.solvers import SolverRun

    network = load_model(model)
    sigmas = network.host_sigmas("sgm_uniform", 6)
    run = SolverRun(network, solver)
    x = sigmas[0] * run.start_noise(range(2))

    with torch.inference_mode():
        found = known_solver(solver, sigmas, network.noise).sample(lambda x, s: network.denoise(x, float(s[0])), x)

    assert torch.allclose(found, run(sigmas, range(2)).latents, atol=2e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_it_samples_in_the_precision_of_the_latents(dtype):
    x = 14.5 * torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    expected = some_solver().sample(turning, x)

    found = some_solver().sample(lambda x, sigma: turning(x.float(), sigma.float()).to(dtype), x.to(dtype))

    assert found.dtype == dtype and bool(found.isfinite().all())
    assert float((found.float() - expected).abs().max()) < {torch.float64: 1e-5, torch.float16: 0.05}.get(dtype, 0.3)


def test_the_callback_is_called_as_by_the_hosts_samplers():
    seen = []
    solver = some_solver()

    solver.sample(turning, torch.randn(2, 6), callback=seen.append)

    assert [step["i"] for step in seen] == list(range(5))
    assert torch.equal(torch.stack([step["sigma"] for step in seen]), SIGMAS[:-1])
    assert all(step["denoised"].shape == step["x"].shape == (2, 6) for step in seen)


def test_predictions_that_no_later_step_asks_for_are_not_kept():
    step = known_solver("dpmpp_2m", SIGMAS, SD15).stepper()
    for i in range(5):
        step(torch.zeros(1), torch.full((1,), float(i)))
        assert len(step._denoised) <= 1


def test_its_own_sigmas_are_taken_also_when_they_are_slightly_rounded():
    solver = some_solver()
    assert solver.on(SIGMAS) is solver and solver.on(SIGMAS * (1 + 3e-6)) is solver


@pytest.mark.parametrize(
    "sigmas",
    [SIGMAS[[0, 1, 2, 3, 5]], SIGMAS * 1.01, torch.linspace(14.5, 0, 6), torch.tensor([20.0, *SIGMAS.tolist()])],
    ids=["a step less", "others", "resampled", "from above"],
)
def test_other_sigmas_are_refused_in_one_sentence(sigmas):
    with pytest.raises(SolverError, match="made for the 5 steps of its own sigmas, from 14.5 to 0, and was given"):
        some_solver().on(sigmas)


def test_no_schedule_is_refused_as_everywhere():
    with pytest.raises(SigmasError, match="sigmas must fall"):
        some_solver().on(torch.tensor([1.0, 2.0, 0.0]))


@pytest.mark.parametrize("name", ["euler", "dpmpp_2m"])
@pytest.mark.parametrize("start", [None, 2.0], ids=["at a step", "within a step"])
def test_the_last_steps_of_a_known_solver_are_that_solver(name, start):
    tail = SIGMAS[2:].clone()
    if start:
        tail[0] = start
    part = known_solver(name, SIGMAS, SD15).on(tail)

    expected = known_solver(name, tail, SD15)
    if start:  # the second step knows another first prediction, and takes it for the one at the step's own start
        expected.weights[1] = part.weights[1]
    assert torch.equal(part.sigmas, tail) and torch.allclose(part.weights, expected.weights, atol=1e-12)


def test_the_first_steps_and_the_last_ones_are_those_of_the_whole():
    solver = some_solver()
    high, low = solver.on(SIGMAS[:3]), solver.on(SIGMAS[2:])

    assert torch.equal(high.weights, solver.weights[:2, :2])
    assert torch.allclose(low.weights.sum(1), torch.ones(3).double())
    assert torch.allclose(low.weights[2, 1:], solver.weights[4, 3:])
    assert float(low.weights[2, 0]) == pytest.approx(float(solver.weights[4, :3].sum()))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda w: w[:4], "5 steps need 5 rows of 5 weights, not the shape"),
        (lambda w: w.flip(1), "step 1 has a weight for a prediction that it does not know yet"),
        (lambda w: w * torch.nan, "must be a finite number"),
        (lambda w: w * 1.001, "the weights of step 1 have the sum 1.001; it must be 1"),
        (lambda w: w + 2e3 * (torch.diag(torch.ones(4), -1) - torch.eye(5)), "step 1 has the weight 1999; none"),
    ],
)
def test_nonsense_is_no_solver(change, message):
    with pytest.raises(SolverError, match=message):
        LinearMultistep(SIGMAS, change(some_solver().weights))
    with pytest.raises(SolverError, match="at most 100 steps"):
        LinearMultistep(torch.linspace(101, 0, 102), torch.eye(101))


# -- text --------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(0, 1000))
def test_the_text_is_exact_when_it_is_read_back(steps, seed):
    sigmas = torch.linspace(1, 0, steps + 1).pow(3) * 14.61
    strengths = torch.linspace(0.9, 1.1, steps).tolist()
    for solver in (
        some_solver(sigmas, seed),
        some_solver(sigmas, seed).rounded(),
        some_solver(sigmas, seed, strengths),
    ):
        again = parse_solver(print_solver(solver))
        assert same(again, solver)
        assert "e" not in print_solver(solver).replace("weights", "").replace("strengths", "")
        assert ("strengths" in print_solver(solver)) == (not solver.is_whole)


def test_rounded_weights_are_short_and_nearly_the_same():
    solver = some_solver()
    short = solver.rounded()

    assert float((short.weights - solver.weights).abs().max()) < 5e-6
    assert all(len(number) <= 9 for line in print_solver(short).splitlines()[2:] for number in line.split(", "))


def test_the_text_may_have_remarks_and_blank_lines():
    text = "# mine\nSigmas: [2, 1, 0]  # from above\n\n weights = \n1\n\n  -.5 1.5 # two\n"
    solver = parse_solver(text)
    assert solver.sigmas.tolist() == [2, 1, 0] and solver.weights.tolist() == [[1, 0], [-0.5, 1.5]]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "holds no fitted sampler; write it as"),
        ("14.6, 4.7, 0", "holds no fitted sampler; write it as"),
        ("sigmas: 1, 2\nweights:\n1", "its sigmas cannot be used: value 2"),
        ("sigmas: 2, 1, 0\nweights:\n1", "2 steps need 2 lines of weights .at most 100., and there are 1"),
        ("sigmas: 2, 1, 0\nweights:\n1\n1", "step 2 needs 2 weights, one for each prediction so far, and has 1"),
        ("sigmas: 2, 1, 0\nweights:\n1\none, 0", "'one' in the weights of step 2 is not a number"),
        ("sigmas: 2, 1, 0\nweights:\n1\nnan, 0", "'nan' in the weights of step 2 is not a number"),
        ("sigmas: 2, 1, 0\nweights:\n1\n0.5, 0.6", "the weights of step 2 have the sum 1.1; it must be 1"),
        ("sigmas: 2, 1, 0\nweights:\n1\n1e5, -99999", "the weight 100000; none may be above 1000"),
        ("sigmas: 2, 1, 0\nstrengths: 1\nweights:\n1\n0, 1", "2 steps need 2 strengths, one each, not the shape .1,."),
        ("sigmas: 2, 1, 0\nstrengths: 1, x\nweights:\n1\n0, 1", "'x' in the strengths is not a number"),
        ("sigmas: 2, 1, 0\nstrengths: 1, 3\nweights:\n1\n0, 1", "step 2 has the strength 3; it must be between 0.5"),
        ("9 " * 200_000, "400,000 characters are too many"),
        (f"sigmas: {', '.join(map(str, range(150, -1, -1)))}\nweights:\n" + "1\n" * 150, "150 steps need 150 lines"),
    ],
)
def test_other_texts_are_refused_in_one_sentence(text, message):
    with pytest.raises(SolverError, match=message):
        parse_solver(text)


@given(st.text(max_size=200) | st.text("sigmawehtrn:= 0123456789.,-e#\n", max_size=300))
def test_any_text_is_refused_or_a_solver(text):
    try:
        parse_solver("sigmas: 2, 1, 0\nweights:\n" + text)
    except SolverError as error:
        assert len(str(error)) < 700


# -- file --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strengths", [(), STRENGTHS])
def test_what_is_written_is_read(tmp_path, strengths):
    path, written = tmp_path / "mine.safetensors", some_solver(strengths=strengths)
    write_solver(path, written, {"note": "für Ölbilder", "steps": "77", "kind": "schedule"})

    solver, metadata = read_solver(path)

    assert same(solver, written)
    assert metadata["note"] == "für Ölbilder" and metadata["kind"] == "sampler" and metadata["steps"] == "5"


def test_notes_that_are_too_long_are_not_written(tmp_path):
    with pytest.raises(FileError, match="its notes have 100,004 characters"):
        write_solver(tmp_path / "a", some_solver(), {"note": "x" * 100_000})
    assert not list(tmp_path.iterdir())


def file_of(sigmas=SIGMAS, weights=None, strengths=None, **metadata) -> bytes:
    tensors = {"sigmas": sigmas, "weights": some_solver().weights if weights is None else weights}
    return save(tensors if strengths is None else {**tensors, "strengths": strengths}, metadata)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "damaged or cut"),
        (file_of()[:-8], "damaged or cut"),
        (bytes(2_000_000), "larger than 1,048,576 bytes"),
        (file_of(kind="schedule"), "holds no fitted sampler, but a schedule"),
        (save({"sigmas": SIGMAS}), "holds no fitted sampler"),
        (file_of(steps="7"), "it says 7 steps, and has 5"),
        (file_of(format_version="9"), "update the pack"),
        (file_of(SIGMAS.double()), "the sigmas in 'it.safetensors' are float64; they must be float32"),
        (file_of(weights=torch.eye(5)), "the weights in 'it.safetensors' are float32; they must be float64"),
        (file_of(SIGMAS.flip(0)), "value 2 .0.3. is not below value 1"),
        (file_of(weights=torch.eye(4).double()), "5 steps need 5 rows of 5 weights"),
        (file_of(weights=torch.full((5, 5), torch.nan).double()), "must be a finite number"),
        (file_of(weights=2 * torch.eye(5).double()), "the weights of step 1 have the sum 2"),
        (file_of(weights=torch.zeros(0).double()), "not the shape .0,."),
        (file_of(strengths=torch.ones(5)), "the strengths in 'it.safetensors' are float32; they must be float64"),
        (file_of(strengths=torch.ones(4).double()), "5 steps need 5 strengths, one each, not the shape .4,."),
        (file_of(strengths=torch.full((5,), torch.nan).double()), "step 1 has the strength nan; it must be between"),
    ],
)
def test_other_files_are_refused_in_one_sentence(tmp_path, content, message):
    path = tmp_path / "it.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message):
        read_solver(path)


def test_a_header_that_lies_about_the_shape_is_refused(tmp_path):
    header = json.dumps({"weights": {"dtype": "F64", "shape": [2**31, 2**31], "data_offsets": [0, 8]}}).encode()
    path = tmp_path / "it.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(FileError, match="damaged or cut"):
        read_solver(path)
