"""The metadata of a map, for a result of another size: georeferencing and descriptions of bands."""

from typing import Any

import numpy as np

_STALE = ("STATISTICS_", "OVERVIEWS_")


def profile(source: Any, size: tuple[int, int], *, together: bool) -> dict[str, Any]:
    """Return how to create the result, of ``size`` = (width, height), of a rasterio dataset.

    It is compressed, losslessly, if the source is. ``together``: all bands of a pixel are written at a time.
    """
    factor = source.width / size[0], source.height / size[1]
    found = {
        **{key: source.profile[key] for key in ("count", "dtype", "crs", "nodata") if key in source.profile},
        "driver": "GTiff",
        "width": size[0],
        "height": size[1],
        "BIGTIFF": "IF_SAFER",
        "transform": _finer(source.transform, factor),
        # otherwise, tiles of all bands would be rewritten with each band
        "interleave": "pixel" if together else "band",
    }
    if source.compression:
        predictor = 3 if np.dtype(source.dtypes[0]).kind == "f" else 2
        found |= {"compress": "deflate", "zlevel": 1, "predictor": predictor}
    points, system = source.gcps
    if points:
        del found["transform"]
        for point in points:
            point.row, point.col = point.row / factor[1], point.col / factor[0]
        found |= {"gcps": points, "crs": system}
    if source.rpcs is not None:
        found["rpcs"] = _rescaled(source.rpcs, factor)
    return found


def copy_tags(source: Any, result: Any) -> None:
    """Copy the tags of the source and its bands, except for statistics, which no longer apply."""

    def kept(tags: dict[str, str]) -> dict[str, str]:
        return {key: value for key, value in tags.items() if not key.startswith(_STALE)}

    result.colorinterp = source.colorinterp
    result.update_tags(**kept(source.tags()))
    result.descriptions, result.units = source.descriptions, source.units
    result.scales, result.offsets = source.scales, source.offsets
    for number in source.indexes:
        result.update_tags(number, **kept(source.tags(number)))
        if source.colorinterp[number - 1].name == "palette":
            result.write_colormap(number, source.colormap(number))


def _finer(transform: Any, factor: tuple[float, float]) -> Any:
    """Return the transform from (column, row) to coordinates for smaller pixels."""
    (x, y), (a, b, c, d, e, f) = factor, tuple(transform)[:6]
    return type(transform)(a * x, b * y, c, d * x, e * y, f)


def _rescaled(rpcs: Any, factor: tuple[float, float]) -> Any:
    """Return rational polynomial coefficients for pixels of another size, counted from the center of the first one."""
    rpcs.samp_off, rpcs.line_off = (
        (off + 0.5) / share - 0.5 for off, share in zip((rpcs.samp_off, rpcs.line_off), factor, strict=True)
    )
    rpcs.samp_scale, rpcs.line_scale = rpcs.samp_scale / factor[0], rpcs.line_scale / factor[1]
    return rpcs
