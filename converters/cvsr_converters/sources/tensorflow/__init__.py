"""TensorFlow's own formats: SavedModels, frozen graphs, checkpoints of both versions, a module for each."""
