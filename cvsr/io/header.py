"""How large a picture is, from the first bytes of its file: to be asked before anything is decoded.

A file of a kilobyte can claim to hold gigabytes. Headers are read with more suspicion than by decoders: if the two
could read something differently, the file is refused. The table of formats names the function for each format.
"""

import struct

from cvsr.io import formats
from cvsr.io.interface import BrokenFileError, Header, UnknownFormatError


def read(data: memoryview) -> Header:
    """Return what the bytes of a file claim, if the table of formats names a function for its header.

    Raise UnknownFormatError for other files, BrokenFileError for those that no decoder should be given.
    """
    format = formats.sniff(data)
    if format is None or format.header is None:
        kind = f" but {format.title}" if format else ""
        raise UnknownFormatError(f"it is not a {formats.listed(formats.accepted())} file{kind}")
    try:
        found = format.header(data)
    except (struct.error, OverflowError, MemoryError):
        raise BrokenFileError(f"the {format.title} is cut short or damaged") from None
    if found.width < 1 or found.height < 1:
        raise BrokenFileError(f"the {format.title} claims a size of {found.width}x{found.height}")
    return found


def bmp(data: memoryview) -> Header:
    """Return the size that a BMP states."""
    (length,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if length == 12 else "<ii", data, 18)
    return Header(".bmp", width, abs(height), 4)
