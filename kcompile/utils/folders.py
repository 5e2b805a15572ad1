"""Folders of the user's. Every floor may use this: it imports nothing of ours."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def cache_dir() -> Path:
    """The folder for downloaded files and compiled programs: `$KCOMPILE_HOME`, else the user's
    cache folder.
    """
    if home := os.environ.get("KCOMPILE_HOME"):
        return Path(home).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("kcompile", appauthor=False)


def make_private(folder: Path) -> None:
    """Make a folder that nobody else may read or write, or check that nobody else may write it.

    Systems without Unix's owners and modes have neither check: a user's folders are private there.

    Raises:
        PermissionError: it is a link, somebody else's, or others may write into it.
        OSError: it cannot be made, or written into.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid"):
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise PermissionError(f"{folder} is no folder, but a link or a file")
        if found.st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to another user")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"others may write into {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written into")
