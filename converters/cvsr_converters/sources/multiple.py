"""Find out of which number the sides of an image must be multiples, for networks that pad the image themselves.

Such a network runs at any size, but its graph at one size has the padding of that size in it. Traced at sizes that need
none, the graph is right for those only, and the host has to do the padding.
"""

from cvsr_converters import passes
from cvsr_converters.passes.differences import differences

LARGEST = 16  # of the multiples to try; networks with larger ones have windows, which are refused


def needed(graph, least=1):
    """Return the smallest multiple, ``least`` times a power of two, for which all graphs are one; None: there is none.

    ``graph(size)`` gives the ONNX model for images of ``size``. Raises ModelError where it does.
    """
    largest = max(least, LARGEST)
    fixed = passes.simplify(graph((largest * 4, largest * 3)))
    if differences(fixed, passes.simplify(graph((largest * 3, largest * 5)))):
        return None
    while least < largest:
        height, width = (least * (2 * (n // least) + 1) for n in (20, 28))  # odd multiples, so of nothing larger
        if not differences(fixed, passes.simplify(graph((height, width)))):
            break
        least *= 2
    return least
