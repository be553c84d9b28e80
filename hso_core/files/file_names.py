"""Names that a user gives to files: only such as are safe on every system."""

from __future__ import annotations

import re

from .safe_file import FileError

MAX_PART_BYTES = 200  # of a folder's or a file's name; file systems allow 255, and a number and a suffix are added
MAX_FOLDERS = 3
EXAMPLE = "write it like 'portraits' or 'sdxl/fast'"

_DRIVE = re.compile(r"[A-Za-z]:")
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*]')  # what Windows allows in no name, and control characters
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)


def check_file_name(name: str) -> str:
    """`name`, as "file" or "folder/file" with single slashes, if it is safe below any folder. Raises FileError."""
    path = name.strip().replace("\\", "/")
    if path.startswith("/") or _DRIVE.match(path):
        raise FileError(f"the name {_shown(name)} must not be an absolute path; {EXAMPLE}")
    parts = path.split("/")
    folders = len(parts) - 1
    if folders > MAX_FOLDERS:
        raise FileError(f"the name {_shown(name)} goes {folders} folders deep; {MAX_FOLDERS} are allowed")
    for part in parts:
        reason = _what_is_wrong(part)
        if reason:
            raise FileError(f"the name {_shown(name)} {reason}; {EXAMPLE}")
    return "/".join(parts)


def _what_is_wrong(part: str) -> str | None:
    if not part.strip():
        return "is empty, or has an empty part"
    if part in (".", ".."):
        return f"must not contain the part '{part}'"
    if part.startswith((".", "~")) or part.endswith((".", " ")) or part.startswith(" "):
        return "has a part that starts with a dot, a tilde or a space, or ends with a dot or a space"
    forbidden = _FORBIDDEN.search(part)
    if forbidden:
        return f"contains {forbidden.group()!r}, which is not allowed in names"
    if _DEVICES.fullmatch(part.split(".")[0].rstrip()):
        return f"contains {part!r}, which is the name of a device on Windows"
    try:
        size = len(part.encode())
    except UnicodeEncodeError:
        return "contains half of a character"
    return f"is too long: a part may have {MAX_PART_BYTES} bytes" if size > MAX_PART_BYTES else None


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:57] + "...")
