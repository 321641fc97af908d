"""Tile geometry: pure, so hypothesis can look at all of it."""

from hypothesis import given
from hypothesis import strategies as st

from cvsr.image import tiles

sizes = st.integers(1, 700)
halos = st.integers(0, 40)


@given(sizes, st.integers(1, 300), halos)
def test_spans_cover_an_axis_once_and_feed_their_halo(size, tile, halo):
    spans = tiles.spans(size, tile, halo)
    assert [i for span in spans for i in range(span.start, span.stop)] == list(range(size))
    for span in spans:
        assert span.begin == max(0, span.start - halo) and span.end == min(size, span.stop + halo)
        assert list(range(size))[span.feed][span.keep] == list(range(span.start, span.stop))
    lengths = [span.stop - span.start for span in spans]
    assert max(lengths) <= tile and max(lengths) - min(lengths) <= 1


@given(sizes, st.integers(1, 300), halos, st.integers(1, 9))
def test_spans_alike_feed_equally_much_and_what_they_need(size, tile, halo, multiple):
    needed = tiles.spans(size, tile, halo, multiple=multiple)
    spans = tiles.spans(size, tile, halo, multiple=multiple, alike=True)
    for span, least in zip(spans, needed, strict=True):
        assert (span.start, span.stop) == (least.start, least.stop)
        assert 0 <= span.begin <= least.begin and least.end + least.extra <= span.end + span.extra
        assert span.begin % multiple == 0 and (span.end - span.begin + span.extra) % multiple == 0
        assert span.end <= size and (span.extra == 0 or span.end == size) and span.extra < multiple
    assert [span.begin for span in spans] == sorted(span.begin for span in spans)
    if min(span.stop - span.start for span in spans) >= multiple * -(-halo // multiple):
        assert len({span.end - span.begin + span.extra for span in spans}) == 1


@given(sizes, st.integers(1, 300), halos, st.data())
def test_a_part_of_an_axis_is_covered_with_the_halo_that_the_whole_has(size, tile, halo, data):
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    spans = tiles.spans(size, tile, halo, start, stop)
    assert [i for span in spans for i in range(span.start, span.stop)] == list(range(start, stop))
    assert all(span.begin == max(0, span.start - halo) for span in spans)


@given(sizes, st.integers(1, 300), halos, st.integers(1, 9))
def test_blocks_are_fed_whole(size, tile, halo, multiple):
    spans = tiles.spans(size, tile, halo, multiple=multiple)
    assert [i for span in spans for i in range(span.start, span.stop)] == list(range(size))
    for span in spans:
        assert span.begin % multiple == 0 and (span.end - span.begin + span.extra) % multiple == 0
        assert span.extra == 0 or span.end == size
        assert span.begin in (0, *range(span.start - halo + 1)) and span.end >= min(size, span.stop + halo)
        assert list(range(size))[span.feed][span.keep] == list(range(span.start, span.stop))
        assert span.stop - span.start <= max(tile, multiple)


def test_what_is_fed_begins_and_ends_on_a_grain():
    for size, tile, halo in ((91, 48, 8), (254, 60, 9), (17, 48, 3), (640, 128, 13)):
        plain, grained = (tiles.spans(size, tile, halo, grain=grain) for grain in (1, 16))
        assert [(span.start, span.stop) for span in grained] == [(span.start, span.stop) for span in plain]
        for span, less in zip(grained, plain, strict=True):
            assert span.begin % 16 == 0 and (span.end % 16 == 0 or span.end == size)
            assert less.begin - 16 < span.begin <= less.begin and less.end <= span.end < less.end + 16
