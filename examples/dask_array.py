"""Enlarge a dask array chunk by chunk; the result does not depend on the chunks. Needs the extra dask.

The array could also be dask.array.from_zarr("scene.zarr"), and the result written with .to_zarr("scene_x2.zarr"). After
dask.distributed.Client("tcp://…:8786"), that cluster computes the chunks.
"""

import dask.array as da
from skimage import data

import cvsr
import cvsr.dask

image = data.camera()  # gray, 512x512; color would be (H, W, 3) in BGR order, a stack (N, H, W)
upscaler = cvsr.Upscaler("cvsr-small", scale=2, exact=True)
expected = upscaler(image)

for chunks in (256, (512, 100), ((7, 300, 205), (200, 200, 112))):
    large = cvsr.dask.upscale(da.from_array(image, chunks=chunks), upscaler)
    made = large.compute(scheduler="threads")
    print(f"{large.numblocks[0]}x{large.numblocks[1]} chunks: {made.shape}, equal: {(made == expected).all()}")
