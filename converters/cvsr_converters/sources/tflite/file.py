"""Read a ``.tflite`` file, a FlatBuffer, and check every offset in it before native code follows one.

A FlatBuffer is made of tables. A table begins with the distance back to its vtable, which holds the offset of each
field in the table; strings, vectors and tables are forward distances. See https://flatbuffers.dev/internals/.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

from cvsr.errors import ModelError

# The fields of each table: a table, [tables], or a vector by the bytes per element; scalars are omitted.
# The numbers are those of TensorFlow's schema.fbs.
_SCHEMA = {
    "Model": {1: ["OperatorCode"], 2: ["SubGraph"], 3: 1, 4: ["Buffer"], 5: 4, 6: ["Metadata"], 7: ["SignatureDef"]},
    "OperatorCode": {1: 1},
    "SubGraph": {0: ["Tensor"], 1: 4, 2: 4, 3: ["Operator"], 4: 1},
    "Tensor": {0: 4, 3: 1, 4: "Quantization", 7: 4},
    "Quantization": {0: 4, 1: 4, 2: 4, 3: 8},
    "Operator": {1: 4, 2: 4, 4: "Options", 5: 1, 7: 1, 8: 4},
    "Options": {},
    "Buffer": {0: 1},
    "Metadata": {0: 1},
    "SignatureDef": {0: ["TensorMap"], 1: ["TensorMap"], 2: 1},
    "TensorMap": {0: 1},
}
_FORBIDDEN = {"Tensor": {6: "sparse weights", 9: "variants"}, "Buffer": {1: "data outside the FlatBuffer"}}
_TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 6: "?", 7: "<i2", 9: "i1", 10: "<f8", 15: "<u4", 16: "<u2"}
_WITH_INTS = (22, 43)  # RESHAPE and SQUEEZE, the only ones here whose options hold a list
_BROKEN = "the file is truncated or broken: "


@dataclass(frozen=True)
class Tensor:
    """``shape`` has -1 for dynamic axes, ``sizes`` the size that the file was made for; ``data`` is a constant's."""

    name: str
    shape: tuple
    sizes: tuple
    dtype: np.dtype | None
    data: np.ndarray | None


@dataclass(frozen=True)
class Operation:
    """``code`` is its number in TensorFlow's schema; inputs and outputs are indices of tensors, -1 for none."""

    code: int
    inputs: list
    outputs: list
    options: Table | None


@dataclass(frozen=True)
class File:
    """The main graph of a ``.tflite`` file."""

    tensors: list
    operations: list
    inputs: list
    outputs: list


class Table:
    """A table of a FlatBuffer; its methods read fields by number and raise ModelError for one outside the file."""

    def __init__(self, data, at):
        self.data, self.at = data, at
        back = self._unpack("<i", at)
        size, length = self._unpack("<H", at - back), self._unpack("<H", at - back + 2)
        self.fields = [self._unpack("<H", at - back + place) for place in range(4, size - 1, 2)]
        if size < 4 or length < 4 or at + length > len(data) or any(f and not 4 <= f < length for f in self.fields):
            raise ModelError(f"{_BROKEN}a table has an invalid layout")

    def _unpack(self, kind, at):
        if not 0 <= at <= len(self.data) - struct.calcsize(kind):
            raise ModelError(f"{_BROKEN}an offset points outside the file")
        return struct.unpack_from(kind, self.data, at)[0]

    def place(self, number):
        """Return the position of a field, or None if the table omits it."""
        offset = self.fields[number] if number < len(self.fields) else 0
        return self.at + offset if offset else None

    def scalar(self, number, kind="<i", default=0):
        """Return a numeric field."""
        place = self.place(number)
        return default if place is None else self._unpack(kind, place)

    def _forward(self, place):
        return place + self._unpack("<I", place)

    def vector(self, number, size=1):
        """Return (position, number) of a vector's elements, of ``size`` bytes each; (0, 0) if it is omitted."""
        place = self.place(number)
        if place is None:
            return 0, 0
        start = self._forward(place)
        count = self._unpack("<I", start)
        if count * size > len(self.data) - start - 4:
            raise ModelError(f"{_BROKEN}a vector runs past the end of the file")
        return start + 4, count

    def bytes(self, number):
        """Return the bytes of a vector or string."""
        start, count = self.vector(number)
        return self.data[start : start + count]

    def ints(self, number):
        """Return a vector of 32-bit integers as a list."""
        start, count = self.vector(number, 4)
        return list(struct.unpack_from(f"<{count}i", self.data, start))

    def table(self, number):
        """Return a field that is a table, or None."""
        place = self.place(number)
        return None if place is None else Table(self.data, self._forward(place))

    def tables(self, number):
        """Return a vector of tables as a list."""
        start, count = self.vector(number, 4)
        return [Table(self.data, self._forward(start + 4 * n)) for n in range(count)]


def _verify(table, kind, seen):
    """Raise ModelError if anything that a table of this kind refers to is outside the file."""
    if (kind, table.at) in seen:
        return
    seen.add((kind, table.at))
    for number, what in _FORBIDDEN.get(kind, {}).items():
        if table.place(number) is not None and table.scalar(number):
            raise ModelError(f"the file has {what}, which are not supported: convert the model to .tflite without them")
    for number, inner in _SCHEMA[kind].items():
        if isinstance(inner, int):
            table.vector(number, inner)
        elif isinstance(inner, list):
            for one in table.tables(number):
                _verify(one, inner[0], seen)
        elif (one := table.table(number)) is not None:
            _verify(one, inner, seen)


def parse(data):
    """Return the :class:`File` in these bytes; raise ModelError."""
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise ModelError("the file is not a .tflite: the identifier TFL3 is missing")
    model = Table(data, struct.unpack_from("<I", data)[0])
    _verify(model, "Model", set())
    graphs, buffers = model.tables(2), model.tables(4)
    if not graphs:
        raise ModelError(f"{_BROKEN}it has no graph")
    codes = [max(code.scalar(0, "<b"), code.scalar(3)) for code in model.tables(1)]  # the old field ends at 127
    tensors = [_tensor(table, buffers) for table in graphs[0].tables(0)]
    operations = [_operation(table, codes) for table in graphs[0].tables(3)]
    file = File(tensors, operations, graphs[0].ints(1), graphs[0].ints(2))
    used = [n for operation in operations for n in operation.inputs + operation.outputs]
    if any(not -1 <= n < len(tensors) for n in used) or any(
        not 0 <= n < len(tensors) for n in file.inputs + file.outputs
    ):
        raise ModelError(f"{_BROKEN}an operation refers to a missing tensor")
    return file


def _tensor(table, buffers):
    name = table.bytes(3).decode("utf-8", "replace")
    sizes, number = tuple(table.ints(0)), table.scalar(2, "<I")
    kind = _TYPES.get(table.scalar(1, "<b"))
    if number >= len(buffers) or min(sizes, default=0) < 0:
        raise ModelError(f"{_BROKEN}the tensor {name!r} has an invalid shape or buffer")
    content, data = buffers[number].bytes(0), None
    if content and kind:
        if len(content) != math.prod(sizes) * np.dtype(kind).itemsize:
            raise ModelError(f"{_BROKEN}the tensor {name!r} is {list(sizes)}, but has {len(content)} bytes")
        data = np.frombuffer(content, kind).reshape(sizes)
    return Tensor(name, tuple(table.ints(7)) or sizes, sizes, np.dtype(kind) if kind else None, data)


def _operation(table, codes):
    number = table.scalar(0, "<I")
    if number >= len(codes):
        raise ModelError(f"{_BROKEN}an operation has an invalid code")
    options = table.table(4)
    if codes[number] in _WITH_INTS and options is not None:
        options.ints(0)  # raises if they are outside the file
    return Operation(codes[number], table.ints(1), table.ints(2), options)
