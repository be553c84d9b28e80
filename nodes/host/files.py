"""ComfyUI's folders."""

from __future__ import annotations

from pathlib import Path

import comfy.cli_args
import folder_paths

from ...hso_core.files.safe_file import FileError


def user_folder() -> Path:
    """The folder of this ComfyUI for what belongs to the user."""
    return Path(folder_paths.get_user_directory())


def schedule_folders() -> dict[str, Path]:
    """Where schedules are kept. "user" is what the browser reaches through ComfyUI's own /userdata/schedules."""
    return {
        "output": Path(folder_paths.get_output_directory()) / "schedules",
        "user": user_folder() / "default" / "schedules",
    }


def numbered_file(folder: Path, name: str, suffix: str) -> Path:
    """A file `name`_00001_`suffix` in `folder` with the next free number, as SaveImage counts; makes the folder.

    Raises FileError.
    """
    try:
        parent, stem, counter, _, _ = folder_paths.get_save_image_path(name, str(folder.absolute()))
    except OSError as error:
        raise FileError(f"the folder for {name!r} in {folder.name!r} cannot be used: {error.strerror}") from error
    return Path(parent) / f"{stem}_{counter:05}_{suffix}"


def may_keep_metadata() -> bool:
    """Whether files may say how they were made; the user can forbid it (--disable-metadata)."""
    return not comfy.cli_args.args.disable_metadata
