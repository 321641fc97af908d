"""Training losses. Each takes (target, output) of equal shape and returns a scalar."""

from keras import ops


def l1(target, output):
    """Mean absolute error: sharper training than L2 for restoration (Lim et al. 2017, EDSR)."""
    return ops.mean(ops.abs(target - output))


def l2(target, output):
    """Mean squared error, which is what PSNR measures."""
    return ops.mean(ops.square(target - output))


def charbonnier(target, output, epsilon=1e-3):
    """Differentiable L1 (Lai et al. 2017, LapSRN)."""
    return ops.mean(ops.sqrt(ops.square(target - output) + epsilon**2))


LOSSES = {"l1": l1, "l2": l2, "charbonnier": charbonnier}
