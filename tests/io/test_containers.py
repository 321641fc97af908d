"""The walkers of containers: TIFF directories, JPEG segments, PNG and WebP chunks, whole and cut short."""

from __future__ import annotations

import io
import itertools
import struct

import pytest
from kit.pictures import pillow_file, rgb, smooth

from cvsr.io import jpeg, png, webp
from cvsr.io.interface import BrokenFileError
from cvsr.io.tiff import directories, parser, tags


def tiff(order: str, big: bool, entries: list[tuple[int, int, int, int]], link: int = 0) -> bytes:
    """Return the structure of a TIFF file with one directory, whose values are all inline."""
    magic = b"II" if order == "<" else b"MM"
    head = struct.pack(f"{order}2sHHHQ", magic, 43, 8, 0, 16) if big else struct.pack(f"{order}2sHI", magic, 42, 8)
    body = struct.pack(order + ("Q" if big else "H"), len(entries))
    for tag, kind, count, value in entries:
        letter = {1: "B", 3: "H", 4: "I", 16: "Q"}[kind]
        inline = struct.pack(order + letter, value).ljust(8 if big else 4, b"\0")
        body += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count) + inline
    return head + body + struct.pack(order + ("Q" if big else "I"), link)


PAGE = [(256, 4, 1, 70), (257, 3, 1, 50), (258, 3, 1, 8), (tags.ORIENTATION, 3, 1, 6)]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_directories_of_either_byte_order_and_size(order, big):
    data = tiff(order, big, PAGE)
    for file in (data, memoryview(data), io.BytesIO(data)):
        [directory] = parser.directories(file)
        assert [(entry.tag, directory.number(entry)) for entry in directory] == [(t, v) for t, _, _, v in PAGE]
        assert directory.link() == 0
    head = directories.read(memoryview(data))
    assert head is not None
    assert (head.pages, head.width, head.height, head.samples, head.broken) == (1, 70, 50, "uint8", False)
    found = tags.find_short(data, tags.ORIENTATION)
    assert found is not None
    assert struct.unpack_from(found.order + "H", data, found.offset) == (6,)
    assert tags.find_short(data, 256) is None  # it has 32 bits


def test_long_values_lie_elsewhere_and_short_ones_inline():
    data = bytearray(tiff("<", False, [(tags.ICC_PROFILE, 1, 9, 40), (270, 1, 4, 7)])) + bytes(20)
    data[40:49] = b"a profile"
    struct.pack_into("<I", data, 18, 40)
    [directory] = parser.directories(data)
    assert [directory.raw(entry) for entry in directory] == [b"a profile", b"\7\0\0\0"]
    assert tags.find_icc(data) == b"a profile"


def test_a_chain_of_directories_that_bites_its_tail_ends():
    data = tiff("<", False, PAGE, link=8)
    assert len(list(parser.directories(data))) == 1
    head = directories.read(memoryview(data))
    assert head is not None
    assert head.pages == 1


def test_a_tiff_that_is_cut_short_tells_as_much_as_it_has():
    data = tiff("<", False, PAGE)
    assert tags.find_short(data[:-4], tags.ORIENTATION) is not None  # as in EXIF blocks without a link
    for length in range(len(data)):
        cut = data[:length]
        assert directories.read(memoryview(cut)) is None
        assert tags.cut_after_first_directory(cut) == cut
        tags.find_short(cut, tags.ORIENTATION)


def test_a_directory_of_more_entries_than_there_are_is_broken():
    data = bytearray(tiff("<", True, PAGE))
    struct.pack_into("<Q", data, 16, 1 << 62)
    with pytest.raises(struct.error):
        list(next(parser.directories(data)))
    assert directories.read(memoryview(data)) is None
    with pytest.raises((BrokenFileError, struct.error)):
        tags.header(memoryview(data))


def test_the_segments_of_a_jpeg_up_to_its_first_scan():
    data = pillow_file(rgb(smooth()), "JPEG").data
    found = list(jpeg.segments(data))
    assert [found[0].marker, found[-1].marker] == [0xE0, 0xDA]
    assert all(first.stop + 4 == second.start for first, second in itertools.pairwise(found))
    padded = data[:2].tobytes() + b"\xff\xff\xff" + data[2:].tobytes()  # fill bytes
    assert len(list(jpeg.segments(memoryview(padded)))) == len(found)
    with pytest.raises(BrokenFileError, match="cut short"):
        list(jpeg.segments(data[: found[-1].start - 10]))
    with pytest.raises(BrokenFileError, match="something else"):
        list(jpeg.segments(memoryview(data[:2].tobytes() + b"\xff\xd8\xff" + data[2:].tobytes())))


@pytest.mark.parametrize(
    ("format", "walk", "names"), [("PNG", png.chunks, (b"IHDR", b"IEND")), ("WEBP", webp.chunks, (b"VP8X", b"EXIF"))]
)
def test_the_chunks_of_a_file_whole_and_cut_short(format, walk, names):
    data = pillow_file(rgb(smooth()), format, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0").data
    found = [chunk[0] for chunk in walk(data)]
    assert (found[0], found[-1]) == names
    for length in range(0, len(data), 7):
        assert [chunk[0] for chunk in walk(data[:length])] == found[: len(list(walk(data[:length])))]


def test_what_opencv_misreads_is_changed_in_memory():
    data = bytearray(tiff("<", False, [*PAGE, (tags.EXTRA_SAMPLES, 3, 1, tags.UNASSOCIATED)]))
    assert tags.repair(memoryview(data)) == (6, True)
    assert tags.repair(memoryview(data)) == (1, False)
