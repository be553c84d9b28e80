"""Import a module or package by its path.

Tests must not put the repository on the module path: its folder nodes/ would hide ComfyUI's module of that name.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def import_path(path: Path, name: str) -> ModuleType:
    """Import the file or the package folder `path` under `name`; a second call returns the same module.

    Submodules of a package can then be imported as usual: import_path(folder, "box") lets `import box.lid` work.
    """
    if name in sys.modules:
        return sys.modules[name]
    file, folders = (path / "__init__.py", [str(path)]) if path.is_dir() else (path, None)
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folders)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs, for whatever looks itself up while it is imported
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
