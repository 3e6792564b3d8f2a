"""Records, in the user's cache folder, that an engine agreed with fp32: the comparison takes seconds, and its result is always the same.

A record is valid for one model, one version of torch and of the engine's code, one processor and one precision. Engines that disagree
are not recorded: they are compared, with a warning, at every start. Neither are those on a GPU, which may lack memory the next time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch

from core.log import get_logger

CODE: Final = ("engine.py", "encoding.py", "network.py")
"""Modules whose changes make a record invalid."""
KERNEL_VARIABLES: Final = ("ONEDNN_", "DNNL_", "ATEN_", "MKL_")
"""Prefixes of environment variables that select kernels."""
_log = get_logger("tocsin.model")


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/tocsin, by default ~/.cache/tocsin; it may not exist. Raises RuntimeError without a home."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(configured) if configured else Path.home() / ".cache") / "tocsin"


class AgreementRecord:
    """The records of one model on this machine.

    Args:
        files: name of each file of the model -> its SHA-256, as in the manifest.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        code = [(Path(__file__).parent / name).read_bytes() for name in CODE]
        kernels = sorted(item for item in os.environ.items() if item[0].startswith(KERNEL_VARIABLES))
        facts = (sorted(files.items()), torch.__version__, sorted(torch.cpu.get_capabilities().items()), kernels)
        self._key = hashlib.sha256(b"".join([repr(facts).encode(), *code]))

    def agreed(self, engine: str, dtype: torch.dtype) -> bool:
        """Whether this engine has agreed in this precision."""
        with contextlib.suppress(OSError, RuntimeError):
            return self._path(engine, dtype).is_file()
        return False

    def add(self, engine: str, dtype: torch.dtype) -> None:
        """Record that it agreed. If the folder cannot be written, the engine is compared again at the next start."""
        try:
            path = self._path(engine, dtype)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except (OSError, RuntimeError) as error:
            _log.debug("agreement_not_recorded", error=str(error))

    def _path(self, engine: str, dtype: torch.dtype) -> Path:
        key = self._key.copy()
        key.update(f"{engine} {dtype}".encode())
        return cache_folder() / "engines" / key.hexdigest()
