"""Training, conversion and verification of super-resolution networks: everything of cvsr that needs TensorFlow."""
