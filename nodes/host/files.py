"""ComfyUI's folders."""

from __future__ import annotations

from pathlib import Path

import comfy.cli_args
import folder_paths

from ...hso_core.files.safe_file import FileError
from .errors import check_choice


def user_folder() -> Path:
    """The folder of this ComfyUI for what belongs to the user."""
    return Path(folder_paths.get_user_directory())


FOLDERS = ("output", "user")


def schedule_folders() -> dict[str, Path]:
    """Where schedules are kept. "user" is what the browser reaches through ComfyUI's own /userdata/schedules.

    A server of several users (--multi-user) has no "user": a node is not told whose workflow it runs. In any one folder
    they would find each other's files under the name of their own, and user/default is nobody's there.
    """
    folders = {"output": Path(folder_paths.get_output_directory()) / "schedules"}
    if not comfy.cli_args.args.multi_user:
        folders["user"] = user_folder() / "default" / "schedules"
    return folders


def schedule_folder(name: str) -> Path:
    """The folder of FOLDERS with that name. Raises ValueError for another, and where this ComfyUI has none."""
    check_choice("folder", name, FOLDERS)
    folders = schedule_folders()
    if name not in folders:
        raise ValueError(
            f"folder is {name!r}, but this ComfyUI has several users, and no node is told whose workflow it runs; use "
            f"{' or '.join(folders)}, whose files everybody on it can see"
        )
    return folders[name]


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
