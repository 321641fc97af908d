"""Training, conversion and verification of super-resolution networks: everything of cvsr that needs TensorFlow."""

from cvsr_converters.conversion import convert
from cvsr_converters.report import Conversion

__all__ = ["Conversion", "convert"]
