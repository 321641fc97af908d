"""What the functions that the table of formats names take, return and raise."""

from dataclasses import dataclass
from typing import Protocol

from cvsr.image import Image

EXIF = b"Exif\0\0"
"""What stands before an EXIF block in some formats."""


class UnknownFormatError(ValueError):
    """The bytes are of no format whose header is read here."""


class BrokenFileError(ValueError):
    """The file contradicts its format."""


@dataclass(frozen=True)
class Header:
    """What a file claims: its format's suffix, its size, and the bytes that a decoded pixel takes at most."""

    suffix: str
    width: int
    height: int
    pixel: int

    @property
    def pixels(self) -> int:
        """Return how many pixels there are."""
        return self.width * self.height


@dataclass
class Facts:
    """The metadata of a file. ``changed``: its bytes in memory were altered so that OpenCV reads them correctly.

    ``exif`` begins with the header of a TIFF file; ``orientation`` is that of EXIF, 1 to 8.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    orientation: int = 1
    changed: bool = False


class Writer(Protocol):
    """Takes a picture from the top, in bands."""

    def write(self, rows: Image) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file."""
