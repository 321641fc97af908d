"""Dask arrays of images, enlarged chunk by chunk, lazily. Start with ``chunks.py``.

>>> upscaler = cvsr.Upscaler("cvsr-small", 2, exact=True)
>>> cvsr.dask.upscale(dask.array.from_zarr("scene.zarr"), upscaler).to_zarr("scene_x2.zarr")
"""

from cvsr.dask.chunks import upscale

__all__ = ["upscale"]
