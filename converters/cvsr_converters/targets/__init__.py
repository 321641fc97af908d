"""The files that the converter writes, one module per format."""

from pathlib import Path

from cvsr.io.atomic import atomic


def write_atomic(path, data):
    """Write the bytes ``data`` to ``path`` so that at any moment there is the old file, or the new one, or none.

    Makes the folder. Raises OSError, with nothing left behind.
    """
    with atomic(Path(path)) as stream:
        Path(stream.name).chmod(0o644)  # whatever the umask is: others shall read the model
        stream.write(data)
