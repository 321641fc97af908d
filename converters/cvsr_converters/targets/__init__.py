"""The files that the converter writes, one module per format."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomic(path, data):
    """Write the bytes ``data`` to ``path`` so that at any moment there is the old file, or the new one, or none.

    Makes the folder. Raises OSError, with nothing left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp gives 0600, and others shall read the model
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
