"""Small untrained networks: all that the literature has, and odd ones that somebody may have built.

Each is one that the converter must convert right or refuse with a reason, and never convert wrong. ``NETS`` holds them
by name; biases are random and not zero, because zeros would hide what is done to them.

``python -m kit.smallnets`` in tests/ prints what becomes of each in each OpenCV.
"""

from __future__ import annotations

from kit.smallnets import convolutions, enlarging, literature, pointwise, statistics, ways  # noqa: F401 - they register
from kit.smallnets.convert import convert, prove, table
from kit.smallnets.literature import TINY
from kit.smallnets.registry import NETS, Net, fill

__all__ = ["NETS", "TINY", "Net", "convert", "fill", "prove", "table"]
