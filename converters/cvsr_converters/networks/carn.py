"""Cascades: blocks whose outputs are all kept side by side and fused again after each.

    image ── conv ──┬── block ──┬─ fuse ── block ──┬─ fuse ── block ── fuse ── conv ─ ReLU ─ shuffle ── conv ── image
                    ├───────────┘ ─────────────────┘ ──────────────────┘      (fuse: concat all ── conv 1x1 ─ ReLU)
                    block is the same once more, with residual units in place of blocks

    unit:        x ── conv ─ ReLU ── conv ── + x ── ReLU
    CARN-M:      x ── conv (4 groups) ─ ReLU ── conv (4 groups) ─ ReLU ── conv 1x1 ── + x ── ReLU, shared in its block

Ahn et al. 2018, "Fast, Accurate, and Lightweight Super-Resolution with Cascading Residual Network".
CARN-M is ``carn(groups=4, shared=True)``.
"""

import keras
from keras import layers

from cvsr_converters.facts import Facts
from cvsr_converters.networks.layers import conv, enlarge

FACTS = Facts(color="rgb", range=1, mean=(0.4488, 0.4371, 0.404), tail="image")


def _unit(channels, groups):
    """Return a function of a residual unit; called again, it uses the same weights again."""
    parts = [conv(channels, groups=groups, activation="relu")]
    if groups > 1:
        parts += [conv(channels, groups=groups, activation="relu"), conv(channels, 1)]
    else:
        parts += [conv(channels)]

    def call(x):
        y = x
        for part in parts:
            y = part(y)
        return layers.ReLU()(layers.Add()([x, y]))

    return call


def cascade(x, parts):
    """Return ``x`` after all ``parts``, each of which reads the fusion of everything before it."""
    channels, made, y = x.shape[-1], [x], x
    for part in parts:
        made.append(part(y))
        y = conv(channels, 1, activation="relu")(layers.Concatenate()(made))
    return y


def carn(scale=2, channels=64, blocks=3, units=3, groups=1, shared=False):
    """Return the network: RGB 0..1 less the mean, of shape (N, H, W, 3) → (N, H·scale, W·scale, 3).

    ``groups`` > 1 takes CARN-M's units, ``shared`` one unit for all of a block. With several scales,
    ``scale=(2, 3, 4)``, as in the paper, it has a tail for each, and its output is a dict of "x2", "x3" and "x4".
    """

    def block(x):
        one = _unit(channels, groups)
        return cascade(x, [one if shared else _unit(channels, groups) for _ in range(units)])

    scales = (scale,) if isinstance(scale, int) else scale
    x = keras.Input((None, None, 3), name="image")
    y = cascade(conv(channels)(x), [block] * blocks)
    last = conv(3)
    outputs = {f"x{s}": last(enlarge(y, s, before="relu", groups=groups)) for s in scales}
    return keras.Model(x, outputs if len(scales) > 1 else outputs[f"x{scales[0]}"], name="carn")
