"""Enlarge dask arrays of images lazily, chunk by chunk. Start with ``chunks.py``.

>>> upscaler = cvsr.Upscaler("cvsr-small", 2, exact=True)
>>> cvsr.dask.upscale(dask.array.from_zarr("scene.zarr"), upscaler).to_zarr("scene_x2.zarr")
"""

from cvsr.dask.chunks import upscale

__all__ = ["upscale"]
