"""One body for several scales: what EDSR has learned for x2 helps at x3 and x4.

                      ┌ 2 x block 5x5 (x2) ┐                                ┌ conv ─ shuffle (x2) ┐
    image ── conv ────┼ 2 x block 5x5 (x3) ┼──┬── 16 x block ── conv ── + ──┼ conv ─ shuffle (x3) ┼── conv ── image
                      └ 2 x block 5x5 (x4) ┘  └─────────────────────────┘   └ conv ─ shuffle (x4) ┘

Lim et al. 2017, "Enhanced Deep Residual Networks for Single Image Super-Resolution". Blocks are EDSR's.
"""

import keras
from keras import layers

from cvsr_converters.networks.edsr import FACTS, block
from cvsr_converters.networks.layers import conv, enlarge

__all__ = ["FACTS", "mdsr"]


def mdsr(scale=2, channels=64, blocks=16):
    """Return the network: RGB 0..255 less the mean, of shape (N, H, W, 3) → (N, H·scale, W·scale, 3).

    With several scales, ``scale=(2, 3, 4)``, it has all of their paths through one body, and its output is a dict of
    "x2", "x3" and "x4"; ``keras.Model(model.input, model.output["x3"])`` is one path of a trained one. A single scale
    gives a network of that path only.
    """
    scales = (scale,) if isinstance(scale, int) else scale
    x = keras.Input((None, None, 3), name="image")
    head, tail = conv(channels), conv(3)
    body = _body(channels, blocks)
    outputs = {}
    for one in scales:
        y = block(block(head(x), 5), 5)
        outputs[f"x{one}"] = tail(enlarge(body(y), one))
    return keras.Model(x, outputs if len(scales) > 1 else outputs[f"x{scales[0]}"], name="mdsr")


def _body(channels, blocks):
    """Return the part that all scales share, as a model: called twice, it uses the same weights twice."""
    x = keras.Input((None, None, channels))
    y = x
    for _ in range(blocks):
        y = block(y)
    return keras.Model(x, layers.Add()([x, conv(channels)(y)]), name="body")
