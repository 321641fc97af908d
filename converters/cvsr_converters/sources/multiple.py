"""Find the number that image sides must be multiples of, for networks that pad the image themselves.

Such a network runs at any size, but a graph traced at one size contains the padding for that size. A graph traced at
sizes that need no padding is valid for such sizes only, so the runtime must pad the image.
"""

from cvsr_converters import passes
from cvsr_converters.passes.differences import differences

LARGEST = 16  # largest multiple to try; only networks with windows, which are refused, need more


def needed(graph, least=1):
    """Return the smallest multiple, ``least`` times a power of two, at which all graphs are equal, or None.

    ``graph(size)`` returns the ONNX model for images of ``size``; its ModelErrors are passed on.
    """
    largest = max(least, LARGEST)
    fixed = passes.simplify(graph((largest * 4, largest * 3)))
    if differences(fixed, passes.simplify(graph((largest * 3, largest * 5)))):
        return None
    while least < largest:
        height, width = (least * (2 * (n // least) + 1) for n in (20, 28))  # odd, so not multiples of 2 * least
        if not differences(fixed, passes.simplify(graph((height, width)))):
            break
        least *= 2
    return least
