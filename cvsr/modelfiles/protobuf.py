"""Read and write protocol-buffer messages, such as .onnx and .pb files, without protobuf.

A message is a sequence of fields: a number, a wire type and a value. Lengths are checked against the data first.
See https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator

from cvsr.errors import ModelError


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ModelError("the file is truncated or not a model: a number runs past its end")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (number, value) of each field of a message: an int, or a view of the bytes of a string or sub-message."""
    data = memoryview(data)
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ModelError(f"not a model: the file has a field of wire type {kind}")
        if number == 0 or length > len(data) - at:
            raise ModelError("the file is truncated or not a model: a field runs past its end")
        yield number, data[at : at + length]
        at += length


def messages(data: bytes | memoryview, *numbers: int) -> Iterator[memoryview]:
    """Yield the strings or sub-messages of a message that have one of the field numbers."""
    for number, value in fields(data):
        if number in numbers and isinstance(value, memoryview):
            yield value


def text(data: bytes | memoryview, number: int) -> str:
    """Return the first string of a message with a field number, or ""."""
    for value in messages(data, number):
        return bytes(value).decode("utf-8", "replace")
    return ""


def ints(message: memoryview, number: int) -> list[int]:
    """Return the integers of a repeated field, packed or not."""
    found: list[int] = []
    for key, value in fields(message):
        if key == number and isinstance(value, int):
            found.append(value)
        elif key == number and isinstance(value, memoryview):
            at = 0
            while at < len(value):
                item, at = _varint(value, at)
                found.append(item)
    return found


def encode(value: int) -> bytes:
    """Return a non-negative number as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def block(number: int, payload: bytes | memoryview) -> bytes:
    """Return a field that is a string or a sub-message."""
    return encode(number << 3 | 2) + encode(len(payload)) + bytes(payload)


def field_of(number: int, value: int | memoryview) -> bytes:
    """Return the bytes of a field that :func:`fields` yielded; not for numbers of fixed width."""
    return encode(number << 3) + encode(value) if isinstance(value, int) else block(number, value)
