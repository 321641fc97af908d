"""The files that the converter writes, one module per format."""

from pathlib import Path

from cvsr.io.atomic import atomic


def write_atomic(path, data):
    """Write the bytes ``data`` to ``path`` so that at any moment the file is the old one, the new one, or absent.

    Creates the folder. Raises OSError, and leaves nothing behind then.
    """
    with atomic(Path(path)) as stream:
        Path(stream.name).chmod(0o644)  # whatever the umask is: others must be able to read the model
        stream.write(data)
