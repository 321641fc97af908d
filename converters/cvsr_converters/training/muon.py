"""Muon: momentum whose matrix updates are orthogonalised; on collapsible blocks it needs a fraction of Adam's steps.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the scale of the updates is that of Liu
et al. 2025, "Muon is Scalable for LLM Training", so that learning rates are Adam's. Vectors (biases) are left to Adam.
"""

import keras
import tensorflow as tf

MOMENTUM, STEPS = 0.95, 5
A, B, C = (
    3.4445,
    -4.7750,
    2.0315,
)  # the quintic iteration's coefficients, tuned by its author for speed, not for accuracy


def orthogonalised(matrix):
    """Return nearly U·V^T of ``matrix`` = U·S·V^T by Newton-Schulz iteration.

    Its steps multiply the matrix by polynomials of its Gram matrix. They are collected on that, the smaller one, and
    the matrix itself is multiplied once: half the time for kernels, which are four times as tall as wide.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    gram = tf.matmul(matrix, matrix, transpose_a=tall, transpose_b=not tall)
    square = tf.linalg.trace(gram) + 1e-24  # of the matrix's norm
    gram, product = gram / square, tf.eye(gram.shape[0]) / tf.sqrt(square)
    for _ in range(STEPS):
        factor = A * tf.eye(gram.shape[0]) + B * gram + C * tf.matmul(gram, gram)
        product = tf.matmul(factor, product)
        gram = tf.matmul(tf.matmul(factor, gram), factor)
    return tf.matmul(matrix, product) if tall else tf.matmul(product, matrix)


class Adam(tf.Module):
    """Keras's Adam behind Muon's interface. ``clip``: the largest norm of the gradients together, or None."""

    def __init__(self, variables, clip=None):
        super().__init__()
        self.targets, self.clip = list(variables), clip
        self.adam = keras.optimizers.Adam()
        self.adam.build(self.targets)

    def apply(self, gradients):
        """Update all variables."""
        self.adam.apply_gradients(zip(clipped(gradients, self.clip), self.targets, strict=True))

    def set_rate(self, rate):
        """Set the learning rate."""
        self.adam.learning_rate = rate


class Muon(tf.Module):
    """The optimizer: ``apply(gradients)`` updates the variables it was made for. ``clip`` as for Adam."""

    def __init__(self, variables, clip=None):
        super().__init__()
        self.clip, self.rate = clip, tf.Variable(0.0, dtype=tf.float32)
        # a kernel with one output has one direction only, and slopes of activations are no matrices
        matrix = [len(v.shape) in (2, 4) and v.shape[-1] > 1 for v in variables]
        self.matrices = [i for i, is_matrix in enumerate(matrix) if is_matrix]
        self.vectors = [i for i, is_matrix in enumerate(matrix) if not is_matrix]
        self.targets = list(variables)
        self.momenta = [tf.Variable(tf.zeros(variables[i].shape)) for i in self.matrices]
        self.adam = keras.optimizers.Adam()
        self.adam.build([variables[i] for i in self.vectors])

    def apply(self, gradients):
        """Update all variables; kernels (k, k, in, out) count as matrices (k·k·in, out)."""
        gradients = clipped(gradients, self.clip)
        for i, momentum in zip(self.matrices, self.momenta, strict=True):
            momentum.assign(MOMENTUM * momentum + gradients[i])
            ahead = tf.reshape(gradients[i] + MOMENTUM * momentum, (-1, momentum.shape[-1]))  # Nesterov's
            update = orthogonalised(ahead) * (0.2 * max(ahead.shape) ** 0.5)
            self.targets[i].assign_sub(tf.reshape(update, momentum.shape) * self.rate)
        self.adam.apply_gradients([(gradients[i], self.targets[i]) for i in self.vectors])

    def set_rate(self, rate):
        """Set the learning rate of both kinds; biases move at a quarter of it."""
        self.rate.assign(rate)
        self.adam.learning_rate = rate / 4


def clipped(gradients, norm):
    """Return the gradients, scaled down where their norm together is larger than ``norm``."""
    return gradients if norm is None else tf.clip_by_global_norm(gradients, norm)[0]
