"""The networks of the literature, as small as they can be."""

from __future__ import annotations

from cvsr_converters import networks
from kit.smallnets.registry import NETS, Net

# Each network of the literature as small as it can be without losing a part.
TINY = {
    "carn": {"channels": 4, "blocks": 2, "units": 2},
    "drcn": {"channels": 3, "recursions": 3},
    "drrn": {"channels": 3, "units": 2},
    "edsr": {"channels": 4, "blocks": 2, "residual": 0.1},
    "espcn": {"widths": (4, 3)},
    "esrgan": {"channels": 4, "growth": 2, "blocks": 1},
    "fsrcnn": {"d": 5, "s": 3, "m": 2},
    "lapsrn": {"channels": 3, "depth": 2},
    "mdsr": {"channels": 4, "blocks": 1},
    "msrn": {"channels": 3, "blocks": 2},
    "rdn": {"channels": 4, "growth": 3, "blocks": 2, "depth": 2},
    "reparam": {"channels": 4, "blocks": 2, "expand": 6},
    "srcnn": {"channels": (4, 3)},
    "srdensenet": {"growth": 2, "blocks": 2, "depth": 3, "bottleneck": 5},
    "srgan": {"channels": 4, "blocks": 1, "ends": 3},
    "srresnet": {"channels": 4, "blocks": 2, "ends": 3},
    "vdsr": {"channels": 4, "depth": 4},
}


def literature(name, label=None, output=0, **options):
    """Register a network of ``cvsr_converters.networks``."""
    NETS[label or name] = Net(lambda: networks.build(name, **TINY[name] | options), output=output)


for known in TINY:
    literature(known, scale=2, output=0)
for one in (3, 4):
    literature("edsr", f"edsr x{one}", scale=one)
literature("lapsrn", "lapsrn x4, the last of two outputs", scale=4, output=1)
literature("lapsrn", "lapsrn x4, the first of two outputs", scale=4)
literature("lapsrn", "lapsrn shared and recursive", scale=4, output=1, recursions=2, shared=True)
literature("mdsr", "mdsr, the second of three heads", scale=(2, 3, 4), output=1)
literature("carn", "carn-m", scale=2, groups=2, shared=True)
literature("drcn", "drcn, supervised", supervised=True)
literature("srcnn", "srcnn, valid", padding="valid")
literature("espcn", "espcn in color", channels=3)
literature("fsrcnn", "fsrcnn x3 in color", scale=3, channels=3)
