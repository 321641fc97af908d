"""Keras models: ``.keras`` archives (``archive.py``) and HDF5 files (``hdf5.py``), without running their code."""
