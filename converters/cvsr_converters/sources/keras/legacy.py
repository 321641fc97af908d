"""The config of a Keras 2 model, or of an HDF5 file of Keras 3 → that of a ``.keras`` file, which Keras 3 builds.

Keras 3 reads only part of what Keras 2 wrote: TensorFlow functions between layers (TFOpLambda since TensorFlow 2.4,
TensorFlowOpLayer before), layers inside layers and some options are missing, as are keras.ops in its own HDF5.
"""

import importlib
import re
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import node_def_pb2, types_pb2
from tensorflow.python.framework import op_def_registry

from cvsr.errors import ModelError
from cvsr_converters.sources import safe_ops

_OP_LAYERS = frozenset({"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"})
_MODELS = frozenset({"Functional", "Model", "Sequential"})
# Options that Keras 3 lacks, with their values that have no effect.
_GONE = {"groups": (1,), "ragged": (False,), "sparse": (False,), "renorm": (False,), "fused": (None, True, False)}
_GONE |= {
    "virtual_batch_size": (None,),
    "adjustment": (None,),
    "time_major": (False,),
    "input_dtype": (None, "float32"),
}
_OP_MODULES = ("numpy", "nn", "core", "image", "math", "linalg")
# TensorFlow functions that only compute.
_PURE = re.compile(
    r"(compat\.v1\.)?((math|nn|image|linalg|signal|bitwise|__operators__)\.(?!_|decode)\w+|abs|add|add_n|boolean_mask|"
    r"broadcast_\w+|cast|clip_by_\w+|concat|constant|convert_to_tensor|cos|cumsum|depth_to_space|divide|einsum|equal|exp|"
    r"expand_dims|eye|fill|floor|gather|gather_nd|greater|greater_equal|identity|less|less_equal|matmul|maximum|minimum|"
    r"multiply|negative|norm|ones|ones_like|pad|pow|range|rank|realdiv|reduce_\w+|repeat|reshape|reverse|roll|round|shape|"
    r"sigmoid|sign|sin|size|slice|space_to_\w+|split|sqrt|square|squeeze|stack|stop_gradient|strided_slice|subtract|tanh|"
    r"tensordot|tile|transpose|truediv|unstack|where|zeros|zeros_like)"
)


@keras.saving.register_keras_serializable("cvsr")
class TensorFlowOp(keras.Operation):
    """A TensorFlow function by name, or an operation by its NodeDef and its constant inputs.

    The first argument of a function is called ``first``, because Keras 2 stores the others by name only.
    """

    def __init__(self, function=None, node=None, constants=None, name=None):
        super().__init__(name=name)
        if function is not None and not _PURE.fullmatch(function):
            raise ModelError(f"layer {name!r} calls tf.{function}, which is not among the functions that only compute")
        self.function: Any = function
        self.node: Any = node and json_format.ParseDict(node, node_def_pb2.NodeDef())
        if node and (why := safe_ops.danger(self.node.op)):
            raise ModelError(f"layer {name!r}: the operation {self.node.op} {why}; it was not run")
        self.constants = {int(index): value for index, value in (constants or {}).items()}

    def call(self, *inputs, **arguments):
        with tf.name_scope(re.sub(r"[^\w.\-/]", "_", self.name)):
            return self._by_node(inputs) if self.node else self._by_name(arguments)

    def _by_name(self, arguments):
        function: Any = tf
        for part in self.function.split("."):
            function = getattr(function, part)
        return function(arguments.pop("first"), **{k: v for k, v in arguments.items() if k != "name"})

    def _by_node(self, inputs):
        if len(inputs) == 1 and isinstance(inputs[0], (list, tuple)):
            inputs = inputs[0]
        values = list(inputs)
        for index, value in sorted(self.constants.items()):
            values.insert(index, np.asarray(value, _dtype(self.node, index)))
        given = {}
        definition: Any = op_def_registry.get(self.node.op)
        for argument in definition.input_arg:
            if argument.number_attr:
                number = self.node.attr[argument.number_attr].i
                given[argument.name], values = values[:number], values[number:]
            else:
                given[argument.name] = values.pop(0)
        inferred = {a for arg in definition.input_arg for a in (arg.type_attr, arg.number_attr, arg.type_list_attr)}
        given |= {k: _plain(v) for k, v in self.node.attr.items() if k not in inferred and not k.startswith("_")}
        return getattr(tf.raw_ops, self.node.op)(**given)


def _dtype(node, index):
    """Return the numpy type of an input of a NodeDef, for its constants."""
    definition: Any = op_def_registry.get(node.op)
    argument = definition.input_arg
    attr = argument[index].type_attr if index < len(argument) else ""
    kind = node.attr[attr].type if attr else argument[min(index, len(argument) - 1)].type
    return tf.as_dtype(kind or types_pb2.DT_FLOAT).as_numpy_dtype


def _plain(value):
    """Return an attribute of a NodeDef as raw_ops expect it."""
    kind = value.WhichOneof("value")
    if kind == "list":
        return next((list(items) for _, items in value.list.ListFields()), [])
    if kind == "type":
        return tf.as_dtype(value.type)
    if kind == "shape":
        return tf.TensorShape(value.shape)
    return getattr(value, kind)


def modern(config):
    """Return the config as Keras 3 has it in a ``.keras`` file; raise ModelError if it is invalid."""
    try:
        return _object(config)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise ModelError(f"the model config in this file is not valid in Keras: {error!r}") from error


def _object(entry):
    """Return a layer's or model's entry with the module of its class and the options that Keras 3 has."""
    name, inner = entry["class_name"], dict(entry["config"])
    if name in _MODELS:
        inner["layers"] = [_object(layer) for layer in inner["layers"]]
        if name != "Sequential":
            _wire(inner)
        return _named(entry, "keras", "Sequential" if name == "Sequential" else "Model", inner)
    if name in _OP_LAYERS:
        return _op(entry, inner)
    if "trainable" not in inner and (module := _op_module(name)):
        return _named(entry, module, name, inner) | {"registered_name": name}
    if name == "Lambda":
        inner = _lambda(inner)
    known = getattr(keras.layers, name, None)
    layer = {
        "module": "keras.layers" if known else None,
        "registered_name": None if known else entry.get("registered_name") or name,
    }
    for wrapped in ("layer", "backward_layer"):  # of layers that wrap another
        if isinstance(inner.get(wrapped), dict) and "module" not in inner[wrapped]:
            inner[wrapped] = _object(inner[wrapped])
    return _named(entry, None, name, _options(inner, known)) | layer


def _named(entry, module, name, inner):
    named = {"module": module, "class_name": name, "config": inner, "registered_name": None}
    return named | {key: entry[key] for key in ("name", "inbound_nodes") if key in entry}


def _options(inner, known):
    """Return a layer's options as Keras 3 names them; of those that it lacks, only ones with an effect are kept."""
    takes = set() if known is None else set(known.__init__.__code__.co_varnames)
    for key, nothing in _GONE.items():
        if key in inner and key not in takes and inner[key] in nothing:
            del inner[key]
    if isinstance(inner.get("axis"), list) and len(inner["axis"]) == 1:
        inner["axis"] = inner["axis"][0]
    if isinstance(inner.get("dtype"), dict) and inner["dtype"].get("class_name") == "Policy":
        inner["dtype"] = inner["dtype"]["config"]["name"]
    if "alpha" in inner and "alpha" not in takes and "negative_slope" in takes:
        inner["negative_slope"] = inner.pop("alpha")
    shape = inner.pop("batch_input_shape", None)
    if shape is not None:
        inner.update({"batch_shape": shape} if known is keras.layers.InputLayer else {"input_shape": shape[1:]})
    return inner


def _lambda(inner):
    """Return the options of a Lambda in the form of Keras 3; whether it may be built is decided elsewhere."""
    function = inner["function"]
    if isinstance(function, list):
        code = dict(zip(("code", "defaults", "closure"), function, strict=True))
        function = {"class_name": "__lambda__", "config": code}
    kept = ("name", "trainable", "dtype", "arguments", "mask")
    return {"function": function} | {key: inner[key] for key in kept if key in inner}


def _op_module(name):
    """Return the module of Keras's own operation called ``name``, such as Clip, or None."""
    for module in _OP_MODULES:
        found = vars(importlib.import_module(f"keras.src.ops.{module}")).get(name)
        if isinstance(found, type) and issubclass(found, keras.Operation):
            return f"keras.src.ops.{module}"
    return None


def _op(entry, inner):
    """Return the entry of a :class:`TensorFlowOp`."""
    name = entry.get("name", inner["name"])
    options = {"name": name, "function": inner.get("function")}
    if entry["class_name"] == "TensorFlowOpLayer":
        options = {"name": name, "node": inner["node_def"], "constants": inner.get("constants")}
    TensorFlowOp(**options)  # refuses anything that does more than compute
    return _named(entry, None, "TensorFlowOp", options) | {"registered_name": "cvsr>TensorFlowOp"}


def _wire(inner):
    """Convert the layer calls of a Functional model from Keras 2's form to Keras 3's, in place."""
    kinds = {layer["name"]: layer["class_name"] for layer in inner["layers"]}
    calls = [call for layer in inner["layers"] for call in layer["inbound_nodes"]]
    if all(isinstance(call, dict) and "args" in call for call in calls):
        return

    def tensor(name, call, index, *_):
        # Keras 2 called a model once when creating it, so its first call in another model is number 1
        history = [name, call - (kinds[name] in _MODELS), index]
        return {
            "class_name": "__keras_tensor__",
            "config": {"shape": [None], "dtype": "float32", "keras_history": history},
        }

    def revive(value):
        if isinstance(value, list):
            is_tensor = len(value) >= 3 and isinstance(value[0], str) and value[0] in kinds
            return tensor(*value) if is_tensor else [revive(one) for one in value]
        if isinstance(value, dict):
            if value.keys() == {"start", "stop", "step"}:
                return {"class_name": "__slice__", "config": {key: revive(one) for key, one in value.items()}}
            return {"config": {}} | value if "class_name" in value else {k: revive(v) for k, v in value.items()}
        return value

    for layer in inner["layers"]:
        write = (
            _function_call if layer["config"].get("function") and layer["class_name"] == "TensorFlowOp" else _layer_call
        )
        layer["inbound_nodes"] = [revive(write(call)) for call in layer["inbound_nodes"]]
    inner["output_layers"] = [
        [name, call - (kinds[name] == "Sequential"), index] for name, call, index in inner["output_layers"]
    ]


def _layer_call(call):
    """Return the arguments of a layer's call from Keras 2's list of [layer, call, index, keywords]."""
    tensors = [leaf[:3] for leaf in call]
    keywords = call[-1][3] if len(call[-1]) > 3 else {}
    return {"args": [tensors[0] if len(tensors) == 1 else tensors], "kwargs": keywords}


def _function_call(call):
    """Return the arguments of a TensorFlow function, all by name; a list of values is its first argument."""
    leaves = call if isinstance(call[0], list) else [call]
    values = [leaf[2] if leaf[0] == "_CONSTANT_VALUE" else leaf[:3] for leaf in leaves]
    keywords = leaves[-1][3] if len(leaves[-1]) > 3 else {}
    return {"args": [], "kwargs": {"first": values if leaves is call else values[0], **keywords}}
