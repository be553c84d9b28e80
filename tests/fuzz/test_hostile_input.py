"""Hostile input: text, files and names that somebody sends. Each gives a schedule or one clear sentence, with
little work, nothing run and nothing written elsewhere."""

from __future__ import annotations

import json
import math
import random
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hso_core import NoiseSchedule, NoiseScheduleError, Settings, SettingsError, named_schedule, optimize_schedule
from hso_core.files.file_names import check_file_name
from hso_core.files.safe_file import FileError
from hso_core.schedule.schedule_file import read_schedule, write_schedule
from hso_core.schedule.sigmas import SigmasError, check_sigmas, parse_sigmas, print_sigmas, resample_sigmas
from watched import Effort, watched

MOST_CALLS = 1_000  # of functions, for one answer; the most are 350
PROCESSOR_SECONDS = 20.0  # a regular expression that goes back and forth over 10 MB takes days
TEN_MEGABYTES = 10_000_000
LONGEST_MESSAGE = 700  # 60 characters may be written as escapes of ten


def assert_schedule(sigmas: torch.Tensor) -> None:
    assert sigmas.ndim == 1 and len(sigmas) >= 2 and bool(sigmas.isfinite().all())
    assert bool((sigmas[1:] < sigmas[:-1]).all()) and float(sigmas[-1]) >= 0


def assert_little(effort: Effort) -> None:
    assert effort.calls < MOST_CALLS and effort.seconds < PROCESSOR_SECONDS


def refused_or_schedule(make: Callable[[], torch.Tensor], errors: tuple[type[Exception], ...]) -> None:
    try:
        result = make()
    except errors as error:
        message = str(error)
        assert message and len(message) <= LONGEST_MESSAGE and "Traceback" not in message
    else:
        assert_schedule(result)


# -- text --------------------------------------------------------------------------------------------------------------

PIECES = [
    "14.6", "1e-3", "1E5", "0", "-1", "+3", ".5", "5.", "1..5", "1,5", "1.234,56", "1 234", "1'000", "١٢٣",
    "½", "１.５",
    "nan", "NaN", "inf", "-Infinity", "1e999", "1e-999", "5e-324", "1e-45", "3.4028236e38", "0x10", "1_000",
    "0b1", "1j",
    "tensor(", "[", "]", "(", ")", ",", ", ", ";", "\n", "\t", "\r\n", "\x00", "\u202e", "\u200b", "\ufeff", "💥", "|",
    "__import__('os').system('touch /tmp/hso')", "${7*7}", "{{7*7}}", "<script>", "../../etc/passwd", "%n", "'", '"',
    "sigmas:", "sigmas=", "dtype=torch.float32", "device='cuda:0'", "array(", "#", "//", "None", "True", "1e",
    "e5", "--1",
]  # fmt: skip


def random_text(generator: random.Random) -> str:
    kind = generator.randrange(4)
    if kind == 0:
        return "".join(
            generator.choice(PIECES) + generator.choice(["", " ", ", "]) for _ in range(generator.randrange(30))
        )
    if kind == 1:
        return "".join(chr(generator.randrange(0x110000)) for _ in range(generator.randrange(60)))
    good = list(print_sigmas(torch.linspace(14.6, 0, generator.randrange(2, 20))))
    for _ in range(generator.randrange(1, 5)):
        good[generator.randrange(len(good))] = generator.choice(PIECES)
    return "".join(good)


def test_sigma_texts_of_a_fuzzer(figure):
    generator, effort = random.Random(0), Effort()
    with watched():
        for _ in range(20_000):
            text = random_text(generator)
            with effort.once():
                refused_or_schedule(lambda text=text: parse_sigmas(text), (SigmasError,))
    assert_little(effort)
    figure("hostile input: sigma texts", effort.blocks)
    figure("hostile input: calls for one answer, max", effort.calls)


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=300) | st.text("0123456789.,;eE+-naif \n[]()", max_size=300))
def test_sigma_texts_of_hypothesis(text):
    refused_or_schedule(lambda: parse_sigmas(text), (SigmasError,))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(width=32), max_size=40))
def test_any_numbers_are_refused_or_resampled(values):
    """NaN, infinities, denormals and negative zeros among them."""
    tensor = torch.tensor(values, dtype=torch.float32)
    try:
        check_sigmas(tensor)
    except SigmasError:
        return
    for steps in (1, 3, 17):
        for method in ("log-linear", "monotone"):
            refused_or_schedule(lambda s=steps, m=method: resample_sigmas(tensor, s, m), (SigmasError,))


@pytest.mark.parametrize(
    "piece", ["1 ", "9", "1,", " ", "[", "tensor(", "1e", "é", "dtype=", "1.5\n", '"', "-", "1e-5 ", "sigmas array "]
)
def test_pastes_of_ten_megabytes(piece, figure):
    text = (piece * (TEN_MEGABYTES // len(piece) + 1))[:TEN_MEGABYTES]
    effort, before = Effort(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with watched(), effort.once(), pytest.raises(SigmasError, match="are too many"):
        parse_sigmas(text)
    just_short = text[:999_999]
    with watched(), effort.once(), pytest.raises(SigmasError):
        parse_sigmas(just_short)
    assert_little(effort)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes
    figure("hostile input: pastes of 10 MB", 1)
    figure("hostile input: calls for one answer, max", effort.calls)


@pytest.mark.parametrize(
    "text",
    [
        "14,6 3,2 0", "14,6\n3,2\n0", "14,6 3.2 0", "14.6 3,2 0", "14,6, 3.2, 0", "[14.6, 3,2, 0]",
    ],
)  # fmt: skip
def test_decimal_commas_are_never_taken_for_other_numbers(text):
    """14,6 is 14.6 in half of the world, and 14,6 3,2 0 falls also when each comma separates."""
    with pytest.raises(SigmasError, match="write decimals with a point"):
        parse_sigmas(text)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def good_file(tmp_path: Path) -> Path:
    path = tmp_path / "good.safetensors"
    write_schedule(path, torch.tensor([14.6, 4.0, 1.0, 0.0]), {"note": "kept"})
    return path


def with_header(header: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + body


def entry(**changes: Any) -> bytes:
    fields = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **changes}
    return json.dumps({"sigmas": fields, "__metadata__": {"kind": "schedule", "steps": "3"}}).encode()


BODY = struct.pack("<4f", 14.6, 4.0, 1.0, 0.0)
HAND_MADE = {
    "empty": b"",
    "seven bytes": b"\x00" * 7,
    "length of 2^64": with_header(b"{}", length=2**64 - 1),
    "length of 2^63": with_header(b"{}", length=2**63),
    "not json": with_header(b"not json"),
    "deep json": with_header(b"[" * 200_000),
    "deep objects": with_header(b'{"a":' * 100_000),
    "list": with_header(b"[]"),
    "number": with_header(b"1"),
    "huge shape": with_header(entry(shape=[2**62], data_offsets=[0, 2**62])),
    "overflowing shape": with_header(entry(shape=[2**40, 2**40]), BODY),
    "negative shape": with_header(entry(shape=[-4]), BODY),
    "shape of a float": with_header(entry(shape=[4.5]), BODY),
    "backward offsets": with_header(entry(data_offsets=[16, 0]), BODY),
    "offsets beyond": with_header(entry(data_offsets=[0, 1_000_000]), BODY),
    "dtype of nobody": with_header(entry(dtype="__import__('os')"), BODY),
    "dtype bool": with_header(entry(dtype="BOOL", shape=[16]), BODY),
    "half": with_header(entry(dtype="F16", shape=[8]), BODY),
    "two dimensions": with_header(entry(shape=[2, 2]), BODY),
    "no dimension": with_header(entry(shape=[], data_offsets=[0, 4]), BODY[:4]),
    "metadata of numbers": with_header(b'{"__metadata__": {"steps": 3}}'),
    "metadata a list": with_header(b'{"__metadata__": []}'),
    "metadata null": with_header(b'{"__metadata__": null}'),
    "version of text": with_header(b'{"__metadata__": {"format_version": "x"}}'),
    "version with 5000 digits": with_header(b'{"__metadata__": {"format_version": "' + b"9" * 5000 + b'"}}'),
    "newer version": with_header(b'{"__metadata__": {"format_version": "2"}}'),
    "int of 5000 digits": with_header(b'{"a": ' + b"9" * 5000 + b"}"),
    "bad utf-8": with_header(b'{"\xff\xfe": 1}'),
    "pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "zip": b"PK\x03\x04" + b"\x00" * 100,
    "nan": with_header(entry(), struct.pack("<4f", 14.6, math.nan, 1.0, 0.0)),
    "rising": with_header(entry(), struct.pack("<4f", 1.0, 4.0, 14.6, 0.0)),
    "ten megabytes": with_header(b"{}", b"\x00" * TEN_MEGABYTES),
}


@pytest.mark.parametrize("name", HAND_MADE)
def test_hand_made_files_are_refused_in_one_sentence(name, tmp_path, figure):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(HAND_MADE[name])
    effort = Effort()
    with watched(), effort.once(), pytest.raises(FileError, match="bad.safetensors") as refusal:
        read_schedule(path)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < LONGEST_MESSAGE
    assert_little(effort)
    figure("hostile input: files", 1)
    figure("hostile input: calls for one answer, max", effort.calls)


def test_every_cut_and_every_flipped_bit_of_a_file(good_file, figure):
    content, effort = good_file.read_bytes(), Effort()
    variants = [content[:length] for length in range(len(content))]
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        variants.append(bytes(changed))
    with watched(allowed=good_file.parent):
        for variant in variants:
            good_file.write_bytes(variant)
            with effort.once():
                refused_or_schedule(lambda: read_schedule(good_file)[0], (FileError,))
    assert_little(effort)
    figure("hostile input: files", len(variants))
    figure("hostile input: calls for one answer, max", effort.calls)


# -- names -------------------------------------------------------------------------------------------------------------

NAME_PIECES = ["..", ".", "/", "\\", "//", "~", "C:", "con", "NUL", "COM1.txt", "a", "schedule", " ", "\x00", "\n", "é",
               "\u202e", "😀", "%2e%2e%2f", "....", "$HOME", "`id`", ";rm -rf", "*", "?", "|", "<", ":",
               "x" * 250, "\ud800"]  # fmt: skip


def test_names_stay_inside_their_folder(tmp_path, figure):
    generator, effort = random.Random(1), Effort()
    inside = tmp_path / "outer" / "schedules"
    accepted = 0
    for _ in range(20_000):
        name = "".join(generator.choice(NAME_PIECES) for _ in range(generator.randrange(1, 7)))
        with effort.once():
            try:
                path = inside / check_file_name(name)
            except FileError as error:
                assert len(str(error)) < LONGEST_MESSAGE
                continue
        accepted += 1
        assert path.resolve().is_relative_to(inside) and path.resolve() != inside, name
    assert accepted > 10
    assert_little(effort)
    figure("hostile input: file names", effort.blocks)


# -- values ------------------------------------------------------------------------------------------------------------

NUMBERS = [0, 1, -1, 2, 0.5, 1.5, -0.0, 1e-320, 5e-324, 1e308, -1e308, math.nan, math.inf, -math.inf, 10**30, -(10**30),
           True, None, "3", "", [], {}, (1, 2), (0.1, 0.2), (math.nan, 1), b"x"]  # fmt: skip


def test_settings_of_a_fuzzer(figure):
    generator, effort = random.Random(2), Effort()
    names = [field for field in Settings.__dataclass_fields__]
    noise, made = named_schedule("sd15"), 0
    for _ in range(5_000):
        values = {name: generator.choice(NUMBERS) for name in generator.sample(names, generator.randrange(1, 4))}
        with watched(), effort.once():
            try:
                chosen = Settings(**values)
            except SettingsError as error:
                assert len(str(error)) < LONGEST_MESSAGE
                continue
        if made < 25 and chosen.population <= 20 and chosen.generations <= 60:
            made += 1
            refused_or_schedule(lambda s=chosen: optimize_schedule(noise, 4, s).to_tensor(), (SettingsError,))
    assert_little(effort)
    figure("hostile input: settings", effort.blocks)


def random_table(generator: random.Random) -> list[float]:
    odd = [0.0, -1.0, 5e-324, 1e-45, 1e-30, 1e30, 3.4e38, math.nan, math.inf, 1.0, 1.0000001, 0.9999999]
    length = generator.choice([0, 1, 2, 3, 50])
    values = [generator.choice(odd) if generator.random() < 0.2 else generator.random() * 20 for _ in range(length)]
    return sorted(values) if generator.random() < 0.8 else values


@pytest.mark.slow
def test_noise_schedules_of_a_fuzzer(figure):
    """A model's table that is not one is refused; one that is extreme gives a schedule or a refusal."""
    generator, effort, usable = random.Random(3), Effort(), 0
    for _ in range(3_000):
        table, family = torch.tensor(random_table(generator), dtype=torch.float64), generator.choice(["vp", "flow"])
        with watched(), effort.once():
            try:
                noise = NoiseSchedule(table, family)
            except NoiseScheduleError as error:
                assert len(str(error)) < LONGEST_MESSAGE
                continue
        usable += 1
        if usable <= 60:
            steps = generator.choice([1, 2, 4, 7])
            refused_or_schedule(lambda n=noise, s=steps: optimize_schedule(n, s).to_tensor(), (SettingsError,))
    assert usable > 60
    assert_little(effort)
    figure("hostile input: noise schedules", effort.blocks)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"(flow|edm|sd15)(:[-+0-9a-z.]{0,8}){0,3}", fullmatch=True))
def test_schedule_names_of_the_command_line(name):
    try:
        noise = named_schedule(name)
    except NoiseScheduleError as error:
        assert len(str(error)) < LONGEST_MESSAGE
    else:
        assert noise.sigma_max > noise.sigma_min > 0
