"""A dask array, enlarged chunk by chunk: what it becomes does not depend on the chunks. Needs the extra dask.

The array could as well be dask.array.from_zarr("scene.zarr"), and the result go .to_zarr("scene_x2.zarr"). After
dask.distributed.Client("tcp://…:8786") the chunks are computed on that cluster.
"""

import dask.array as da
from skimage import data

import cvsr
import cvsr.dask

image = data.camera()  # gray, 512x512; color is (H, W, 3) in the order BGR, and a stack (N, H, W)
upscaler = cvsr.Upscaler("cvsr-small", scale=2, exact=True)
expected = upscaler(image)

for chunks in (256, (512, 100), ((7, 300, 205), (200, 200, 112))):
    large = cvsr.dask.upscale(da.from_array(image, chunks=chunks), upscaler)
    made = large.compute(scheduler="threads")
    print(f"{large.numblocks[0]}x{large.numblocks[1]} chunks: {made.shape}, equal: {(made == expected).all()}")
