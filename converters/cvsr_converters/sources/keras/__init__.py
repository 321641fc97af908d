"""Keras models: ``.keras`` archives (``archive.py``) and HDF5 files (``hdf5.py``), read without running their code."""
