"""Networks of the literature, one module each; ``build`` makes one by name.

A module called NAME has a function NAME(**options) that returns the Keras model, every width and depth an option, and
``FACTS``: what the runtime must know of it, as :class:`~cvsr_converters.facts.Facts`, or a function of the options that
returns that.
"""

import importlib
import inspect

from cvsr_converters.facts import Facts

NETWORKS = (
    "carn", "drcn", "drrn", "edsr", "espcn", "esrgan", "fsrcnn", "lapsrn", "mdsr", "msrn", "rdn", "reparam", "srcnn",
    "srdensenet", "srgan", "srresnet", "vdsr",
)  # fmt: skip


def _module(name):
    if name not in NETWORKS:
        raise ValueError(f"no network is called {name!r}; there are: {', '.join(sorted(NETWORKS))}")
    return importlib.import_module(f"cvsr_converters.networks.{name}")


def build(name, **options):
    """Return the Keras model called ``name``; ``options`` are that builder's own (scale, channels, …)."""
    builder = getattr(_module(name), name)
    known = inspect.signature(builder).parameters
    if unknown := [key for key in options if key not in known]:
        raise ValueError(f"{name} has no option {', '.join(unknown)}; it has: {', '.join(known)}")
    return builder(**options)


def facts(name, **options):
    """Return the :class:`Facts` of the network, with its ``scale`` if that is an option."""
    known = _module(name).FACTS
    return Facts(scale=options.get("scale")) | (known if isinstance(known, Facts) else known(**options))


def collapse(model):
    """Return the deployed form of ``model``: reparameterised blocks merged into plain convolutions."""
    from cvsr_converters.networks import reparam

    return reparam.collapse(model)
