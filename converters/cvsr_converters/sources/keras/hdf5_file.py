"""Keras HDF5 files, opened only after their sizes, links and datasets have been checked against the file."""

import os
import struct
from contextlib import contextmanager

import numpy as np

from cvsr.errors import ModelError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_RATIO = 100  # how many times weights may expand; trained ones hardly compress
_SMALL = 1 << 20  # bytes that need no storage: zeros and ones, which HDF5 may omit
_OBJECTS = 100_000


@contextmanager
def opened(file, name):
    """Check the binary file ``file`` and open it as an h5py.File; ``name`` is for messages. Raises ModelError."""
    import h5py

    _check_end(file, name)
    try:
        with h5py.File(file, "r") as found:
            _check_objects(found, name)
            yield found
    except (OSError, KeyError, RuntimeError, UnicodeError) as error:
        raise ModelError(f"{name} is broken: HDF5 reports {error}; get the file again") from error


def _check_end(file, name):
    """Raise ModelError unless the file is as long as its superblock says."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(64)
    file.seek(0)
    if head[:8] != SIGNATURE:
        what = "it is empty" if not size else f"it begins with {head[:8]!r}"
        raise ModelError(f"{name} is not an HDF5 file: {what}; get the file again")
    version, end = head[8] if len(head) > 8 else -1, None
    # offsets of the address size and of the first address; the third address is the end of the file
    sizes_at, base = {0: (13, 24), 1: (13, 28), 2: (9, 12), 3: (9, 12)}.get(version, (None, None))
    if base is not None and len(head) >= base + 24 and head[sizes_at] == 8:
        (end,) = struct.unpack_from("<Q", head, base + 16)
    if end is None:
        raise ModelError(f"{name} is broken: its header is not valid HDF5; get the file again")
    if end > size:
        raise ModelError(f"{name} is truncated: it has {size} of {end} bytes; get the file again")


def _check_objects(file, name):
    """Raise ModelError if a link leads outside the file or a dataset is larger than the file can hold."""
    import h5py

    waiting, seen, total = [file], set(), 0
    while waiting:
        group = waiting.pop()
        for key in group:
            if isinstance(group.get(key, getlink=True), h5py.ExternalLink):
                raise ModelError(f"{name}: {group.name}/{key} is a link to another file; save the model without it")
            item = group[key]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > _OBJECTS:
                raise ModelError(f"{name} has more than {_OBJECTS} objects: it is not a model")
            if isinstance(item, h5py.Group):
                waiting.append(item)
            else:
                total += _bytes(item, name)
    if total > _RATIO * file.id.get_filesize():
        raise ModelError(f"{name} would unpack to {total} bytes, over {_RATIO} times its size: it is broken")


def _bytes(item, name):
    """Return how many bytes a dataset unpacks to; raise ModelError if they are too many or in another file."""
    import h5py

    if not isinstance(item, h5py.Dataset):
        return 0
    if item.external or item.is_virtual:
        raise ModelError(f"{name}: the data of {item.name} is in another file; save the model as one file")
    stored = item.id.get_storage_size()
    if item.nbytes > _SMALL + _RATIO * stored:
        raise ModelError(
            f"{name}: {item.name} has the shape {item.shape}, but the file contains only {stored} bytes of it: "
            "the file is broken"
        )
    return item.nbytes


def strings(attributes, key):
    """Return the list of names that Keras stored under ``key``, in parts if it was long."""
    parts = [key] if key in attributes else []
    while f"{key}{len(parts)}" in attributes and key not in attributes:
        parts.append(f"{key}{len(parts)}")
    names = [name for part in parts for name in attributes[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def layers(group):
    """Return [(layer, [(weight, array)])] of the layers that have weights, in the order of the model."""
    found = []
    for layer in strings(group.attrs, "layer_names"):
        inside = group[layer]
        weights = [(name, np.asarray(inside[name])) for name in strings(inside.attrs, "weight_names")]
        if weights:
            found.append((layer, weights))
    return found


def count(file):
    """Return the number of network weights in a Keras 3 file, without optimizer and random states."""
    import h5py

    found = []

    def visit(name, item):
        other = name.startswith("optimizer") or "seed_generator" in name
        if isinstance(item, h5py.Dataset) and "/vars/" in f"/{name}" and not other:
            found.append(name)

    file.visititems(visit)
    return len(found)
