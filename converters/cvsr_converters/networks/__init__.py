"""Networks of the literature, one file each; ``build`` makes one by name."""

from cvsr_converters.networks.reparam import collapse, reparam

NETWORKS = {"reparam": reparam}

__all__ = ["NETWORKS", "build", "collapse"]


def build(name, **options):
    """Return the Keras model called ``name``; ``options`` are that builder's own (scale, channels, …)."""
    try:
        builder = NETWORKS[name]
    except KeyError:
        raise ValueError(f"no network is called {name!r}; there are: {', '.join(sorted(NETWORKS))}") from None
    return builder(**options)
