"""Where data files are kept on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def data_folder() -> Path:
    """Return the folder of downloaded and cached data; it need not exist yet.

    The environment variable ``SNNSIM_DATA`` names it; without that it is the user's cache folder of the platform,
    for instance ``~/.cache/snnsim``.
    """
    chosen = os.environ.get("SNNSIM_DATA")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "snnsim"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "snnsim"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snnsim"
