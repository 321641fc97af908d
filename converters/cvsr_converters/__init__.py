"""Training, conversion and verification of super-resolution networks: everything of cvsr that needs TensorFlow."""

from cvsr_converters.conversion.convert import convert
from cvsr_converters.proof.report import Conversion

__all__ = ["Conversion", "convert"]
