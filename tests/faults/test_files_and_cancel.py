"""What happens when things go wrong half way: the user cancels, the server is killed, the disk is full or read-only."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

import workbench
from hso_core import Settings, named_schedule, optimize_schedule
from hso_core.files.safe_file import FileError, read_tensors, write_tensors
from hso_core.method import optimizer
from hso_core.schedule.schedule_file import read_schedule, write_schedule

SIGMAS = torch.tensor([14.6, 4.0, 1.0, 0.0])
posix = pytest.mark.skipif(os.name != "posix", reason="uses limits, users and signals that only POSIX systems have")


class Cancelled(Exception):
    pass


@pytest.mark.parametrize(("name", "steps"), [("sd15", 8), ("flow:3", 5), ("ddpm", 2)])
def test_cancel_at_any_moment_leaves_no_trace(name, steps, figure):
    """At each single call of the progress function, in the generations and in the polish."""
    settings = Settings(generations=12, tolerance=0, population=6)
    noise = named_schedule(name)
    calls = 0

    def cancel_at(moment: int):
        def progress(done: int, total: int) -> None:
            nonlocal calls
            calls += 1
            if calls == moment:
                raise Cancelled

        return progress

    expected = optimize_schedule(noise, steps, settings, on_progress=cancel_at(0)).sigmas
    moments, calls = calls, 0
    assert moments > 12
    for moment in range(1, moments + 1):
        optimizer._memory.clear()
        calls = 0
        with pytest.raises(Cancelled):
            optimize_schedule(noise, steps, settings, on_progress=cancel_at(moment))
        assert not optimizer._memory
    assert optimize_schedule(noise, steps, settings).sigmas == expected
    figure("faults: moments at which the search was cancelled", moments)


def in_a_child(program: str, *arguments: str) -> subprocess.Popen[str]:
    start = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import torch\n"
        "from pathlib import Path\n"
        "from hso_core.files.safe_file import write_tensors\n"
        "from hso_core.schedule.schedule_file import write_schedule\n"
    )
    command = [sys.executable, "-P", "-c", start + program, str(workbench.REPOSITORY), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@posix
def test_a_process_killed_while_it_writes_leaves_the_old_file_or_the_new_one(tmp_path, figure):
    """Killed at random moments of an endless loop of writing 4 MB over and over; what is there is always whole."""
    file, kills = tmp_path / "profile.safetensors", 40
    program = (
        "import os, random, signal, time\n"
        "from hso_core.files.safe_file import read_tensors\n"
        "torch.set_num_threads(1)\n"  # a fork has none of its parent's threads, and would wait for them for ever
        "file, generator = Path(sys.argv[2]), random.Random(0)\n"
        "write_tensors(file, {'a': torch.zeros(1_000_000)}, {'n': '0'})\n"
        "for kill in range(int(sys.argv[3])):\n"
        "    begun, begin = os.pipe()\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os.write(begin, b'1')\n"
        "        for n in range(1, 1_000_000):\n"
        "            write_tensors(file, {'a': torch.full((1_000_000,), float(n))}, {'n': str(n)})\n"
        "    os.read(begun, 1); os.close(begun); os.close(begin)\n"
        "    time.sleep(0.01 + 0.04 * generator.random())\n"
        "    os.kill(child, signal.SIGKILL); os.waitpid(child, 0)\n"
        "    tensors, metadata = read_tensors(file, 1 << 23)\n"
        "    assert tensors['a'].unique().tolist() == [float(metadata['n'])]\n"
        "print('whole', len(list(file.parent.glob('.*.tmp'))))\n"
    )
    with in_a_child(program, str(file), str(kills)) as child:
        said, problem = child.communicate()
    assert said.startswith("whole"), problem
    assert int(said.split()[1]) > 0, "no kill hit a write"
    assert not [other for other in tmp_path.glob("*.safetensors") if other != file]  # what is left has another ending
    write_tensors(file, {"a": SIGMAS}, {})
    assert read_tensors(file, 1 << 23)[0]["a"].tolist() == SIGMAS.tolist()
    figure("faults: kills while writing", kills)


@posix
def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path):
    """The kernel refuses to write beyond a limit, in the middle of the file."""
    file = tmp_path / "kept.safetensors"
    write_schedule(file, SIGMAS, {})
    program = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "before = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))\n"
        "try: write_schedule(Path(sys.argv[2]), torch.linspace(14, 0, 5000), {})\n"
        "except ValueError as error: print(type(error).__name__, error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, before)\n"  # the coverage is written, too
    )
    with in_a_child(program, str(file)) as child:
        said, _ = child.communicate()
    assert said.startswith("FileError 'kept.safetensors' cannot be written: ")
    assert read_schedule(file)[0].tolist() == SIGMAS.tolist()
    assert [f.name for f in tmp_path.iterdir()] == ["kept.safetensors"]


@posix
def test_a_read_only_folder_is_said_in_one_sentence(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    tmp_path.chmod(0o755)
    program = (
        "import os\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"  # the administrator may write everywhere
        "try: write_schedule(Path(sys.argv[2]) / 'new.safetensors', torch.tensor([3.0, 0.0]), {})\n"
        "except ValueError as error: print(type(error).__name__, error)\n"
    )
    reachable = [*tmp_path.parents][:-1]
    modes = {parent: parent.stat().st_mode for parent in reachable}
    try:
        for parent in reachable:
            parent.chmod(modes[parent] | 0o005)
        with in_a_child(program, str(folder)) as child:
            said, _ = child.communicate()
    finally:
        for parent, mode in modes.items():
            parent.chmod(mode)
    assert said.startswith("FileError 'new.safetensors' cannot be written: Permission denied")
    assert not list(folder.iterdir())


def test_a_file_of_a_newer_format_is_left_alone_and_named(tmp_path):
    file = tmp_path / "newer.safetensors"
    save_file({"sigmas": SIGMAS}, file, {"format_version": "999"})
    before = file.read_bytes()
    with pytest.raises(FileError, match="'newer.safetensors' has format version 999.*update the pack"):
        read_schedule(file)
    assert file.read_bytes() == before
