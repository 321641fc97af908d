"""TensorFlow's own formats, one module each: SavedModels, frozen graphs, checkpoints of TensorFlow 1 and 2."""
