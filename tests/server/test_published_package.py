"""What the registry packs, and nothing else, is a whole node pack; what it says of itself is true."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tomllib
import yaml

import workbench
from comfy_server import ComfyServer
from demo_prompts import custom_sigmas, node, show_text

REPOSITORY = workbench.REPOSITORY


def published_files() -> list[str]:
    """The files that `comfy node publish` packs: those of git, without what .comfyignore names."""
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(git, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    ignored = [line for line in (REPOSITORY / ".comfyignore").read_text("utf-8").splitlines() if line]
    return [
        file
        for file in files
        if (REPOSITORY / file).is_file() and not any(file == name or file.startswith(name) for name in ignored)
    ]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package") / "hso-schedule"
    for file in published_files():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / file, folder / file)
    return folder


def test_the_package_has_what_users_need_and_no_more(package: Path) -> None:
    top = {path.name for path in package.iterdir()}
    assert {"__init__.py", "nodes", "hso_core", "web", "locales", "example_workflows", "LICENSE", "README.md"} <= top
    assert not top & {"tests", "benchmarks", "demo", "dev.py", ".github", ".ci"}
    assert sum(path.stat().st_size for path in package.rglob("*")) < 3_000_000


def test_the_package_works_alone(package: Path, server: ComfyServer) -> None:
    """In a server of its own: all nodes, their help, their pages' scripts, their workflows, and a result."""
    with ComfyServer({"hso-schedule": package}) as alone:
        ours = {name for name in server.object_info() if name.startswith("HSO") and "Demo" not in name}
        assert {name for name in alone.object_info() if name.startswith("HSO")} == ours
        for name in ours:
            assert alone.download(f"/extensions/hso-schedule/docs/{name}.md").startswith(b"# ")
        assert alone.get("/extensions") and alone.get("/api/workflow_templates")["hso-schedule"]
        assert alone.get("/i18n")["ja"]["nodeDefs"].keys() == ours
        preset = node("HSOPresetSchedule", preset="AYS SDXL", steps=0, denoise=1.0)
        text = {"preset": preset, "text": custom_sigmas(sigmas=["preset", 0]), "show": show_text("text", 1)}
        assert alone.texts(alone.run(text))[0].startswith("14.614641, 6.3184485")


def test_the_project_says_what_the_registry_asks_for() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    name, version, comfy = project["project"]["name"], project["project"]["version"], project["tool"]["comfy"]
    assert "comfyui" not in name.lower() and not name[0].isdigit() and len(name) < 100
    assert project["project"]["dependencies"] == []  # nothing to install
    assert comfy["requires-comfyui"] == ">=0.3.75" and comfy["DisplayName"]
    assert f"## {version}\n" in (REPOSITORY / "CHANGELOG.md").read_text("utf-8")


def test_publishing_waits_for_the_tests() -> None:
    workflows: dict[str, Any] = {
        file.stem: yaml.safe_load(file.read_text("utf-8"))
        for file in (REPOSITORY / ".github" / "workflows").glob("*.yml")
    }
    jobs = workflows["publish"]["jobs"]
    assert jobs["publish"]["needs"] == "tests" and jobs["tests"]["uses"] == "./.github/workflows/tests.yml"
    assert "workflow_call" in workflows["tests"][True]  # YAML reads the key `on` so
    commands = [step.get("run", "") for step in workflows["tests"]["jobs"]["tests"]["steps"]]
    assert "python dev.py test" in commands
