"""SavedModels, exported by Keras or not, and TF-Hub modules, which have the same format."""

import warnings

from cvsr.errors import ModelError
from cvsr_converters.facts import Facts
from cvsr_converters.original import Input

TITLE = "TensorFlow SavedModel or TF-Hub module (a folder with saved_model.pb)"


def matches(path):
    """Return whether ``path`` is a folder of a SavedModel, or the saved_model.pb in one."""
    return path.name == "saved_model.pb" or (path / "saved_model.pb").is_file()


def read(path, options):
    """Return the Original of a SavedModel's function from one image to one image or several. Raises ModelError."""
    folder = path.parent if path.name == "saved_model.pb" else path
    _check(folder, options.trust)
    import tensorflow as tf

    from cvsr_converters.sources.tensorflow import optimizers

    try:
        with warnings.catch_warnings(), optimizers.left_out(folder) as network:
            warnings.simplefilter("ignore")
            loaded = tf.saved_model.load(str(network))
    except Exception as error:  # TensorFlow raises whatever its parts raise
        raise ModelError(f"TensorFlow cannot load {folder}: {' '.join(str(error).split())[:400]}") from error
    function, notes = _function(loaded, options)
    return _original(loaded, function, folder, options, notes)


def _check(folder, trust):
    """Raise ModelError if the folder is incomplete or its graph does more than compute; nothing in it has run yet."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    from cvsr_converters.sources import safe_ops
    from cvsr_converters.sources.tensorflow import bundle

    data = (folder / "saved_model.pb").read_bytes()
    try:
        graphs = saved_model_pb2.SavedModel.FromString(data).meta_graphs
    except DecodeError as error:
        raise ModelError(f"{folder}/saved_model.pb is truncated or broken; export the model again") from error
    if not graphs:
        raise ModelError(f"{folder}/saved_model.pb contains no graph: it is empty or broken; export the model again")
    prefix = folder / "variables" / "variables"
    if prefix.with_suffix(".index").exists():
        bundle.check(prefix)
    # TensorFlow's loader tells the versions apart in the same way
    if len(graphs) == 1 and graphs[0].HasField("object_graph_def"):
        safe_ops.check(safe_ops.of_objects(graphs[0]), trust)
    else:
        for graph in graphs:
            safe_ops.check(safe_ops.of_session(graph), trust)


def _function(loaded, options):
    """Return (the concrete function to convert, notes): the requested signature, or the usual one."""
    signatures = dict(loaded.signatures)
    listed = ", ".join(signatures) or "none"
    if options.signature or "serving_default" in signatures:
        name = options.signature or "serving_default"
        if name not in signatures:
            raise ModelError(f"there is no signature {name!r}; available: {listed}")
        return signatures[name], []
    if len(signatures) == 1:
        return next(iter(signatures.values())), []
    if signatures:
        raise ModelError(f"it has several signatures: choose one with --signature: {listed}")
    for name in ("__call__", "serve", "call", "predict"):
        functions = getattr(getattr(loaded, name, None), "concrete_functions", [])
        of_one = [one for one in functions if len(one.inputs) - len(one.captured_inputs) == 1]
        if of_one:
            free = max(of_one, key=lambda one: sum(side is None for side in one.inputs[0].shape or ()))
            return free, [f"it has no signatures; using its function {name}"]
    raise ModelError("it has no signature and no function of one image: export it again with a signature")


def _original(loaded, function, folder, options, notes):
    """Return the Original of a concrete function that belongs to ``loaded``."""
    import tensorflow as tf

    from cvsr_converters.sources.keras import graph as keras_graph

    name, spec, feeds = _image(function, options)
    layout, channels = _layout(name, spec)
    size = spec.shape[-3:-1] if layout == "NHWC" else spec.shape[-2:]
    call, dtype, more = _prepared(function, name, spec, size)

    def model(image, loaded=loaded):  # the default keeps the variables alive with the function
        image = tf.cast(image if spec.shape.rank == 4 else tf.squeeze(image, 0), dtype)
        results = keras_graph.named(call(image, feeds))
        return {label: _as_image(results[label]) for label in _chosen(results, options)}

    facts, notes = Facts(range=255 if spec.dtype == tf.uint8 else None), [*notes, *more]
    inputs = [Input(name, channels)]
    try:
        return keras_graph.original(model, inputs=inputs, name=folder.name, layout=layout, facts=facts, notes=notes)
    except ModelError:
        raise
    except Exception as error:
        fixed = f"was exported for images of {size[0]}x{size[1]} only and " if any(size) else ""
        why = str(error).strip().splitlines()[-1].strip()[:400]  # the lines before it are TensorFlow's own
        raise ModelError(f"it {fixed}does not run on one of 16x24: {why}; export it with a dynamic size") from error


def _prepared(function, name, spec, size):
    """Return (function of (image, feeds) for any image size, the image's type, notes)."""
    import tensorflow as tf

    notes, is_bytes = [], spec.dtype == tf.uint8
    if any(size):
        notes.append(f"its input was fixed to {size[0]}x{size[1]}; it now accepts any size")
    if is_bytes:
        notes.append("its uint8 values became floats, and nothing in it is rounded to uint8 anymore")
    # variables of TensorFlow 1's oldest kind cannot be frozen from outside their function
    is_old = any(node.type in ("Variable", "VariableV2") for node in function.graph.get_operations())
    call = _freed(function, name) if any(size) or is_bytes or is_old else _called(function, name)
    return call, tf.float32 if is_bytes else spec.dtype, notes


def _image(function, options):
    """Return (name, spec, feeds) of the one argument that is an image; the others must have values in ``options``."""
    positional, named = function.structured_input_signature
    specs = {getattr(spec, "name", None) or f"input{i}": spec for i, spec in enumerate(positional)} | named
    specs = {name: spec for name, spec in specs.items() if hasattr(spec, "shape")}
    feeds = {name: value for name, value in options.feeds.items() if name in specs}
    free = {name: spec for name, spec in specs.items() if name not in feeds}
    if len(free) != 1:
        raise ModelError(
            f"it must read one image, but its inputs are {', '.join(free) or 'none'}: give the others values (--feed), "
            "or choose another --signature"
        )
    return *next(iter(free.items())), feeds


def _layout(name, spec):
    """Return (NHWC or NCHW, channels) of an input of three or four axes."""
    if spec.shape.rank in (3, 4):
        for layout, axis in (("NHWC", -1), ("NCHW", -3)):
            if spec.shape[axis] in (1, 3, 4):
                return layout, spec.shape[axis]
    raise ModelError(f"its input {name!r} has the shape {spec.shape}, not that of an image with known channels")


def _called(function, name):
    """Return the function of (image, feeds) that calls ``function`` as it is."""
    by_name = name in function.structured_input_signature[1]

    def call(image, feeds):
        return function(**{name: image}, **_constants(feeds)) if by_name else function(image)

    return call


def _freed(function, name):
    """Return the function of (image, feeds) that runs ``function``, frozen, on float images of any size."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)
    graph = frozen.graph.as_graph_def()
    for node in graph.node:
        node.attr.pop("_output_shapes", None)
        for attr in node.attr.values():
            if attr.type == tf.uint8.as_datatype_enum:
                attr.type = tf.float32.as_datatype_enum
        if node.op == "Cast" and node.attr["SrcT"].type == node.attr["DstT"].type:
            kind = node.attr["DstT"].type
            node.op = "Identity"
            node.attr.clear()
            node.attr["T"].type = kind
    arguments = {tensor.op.name.removeprefix(f"{function.name}_"): tensor.name for tensor in frozen.inputs}
    outputs = [tensor.name for tensor in frozen.outputs]

    def call(image, feeds):
        given = {name: image, **_constants(feeds)} if len(arguments) > 1 else {next(iter(arguments)): image}
        mapped = {arguments[key]: value for key, value in given.items()}
        found = tf.graph_util.import_graph_def(graph, mapped, outputs, name="")
        return tf.nest.pack_sequence_as(function.structured_outputs, found, expand_composites=True)

    return tf.function(call, autograph=False)


def _constants(feeds):
    import tensorflow as tf

    return {name: tf.constant(value) for name, value in feeds.items()}


def _chosen(results, options):
    """Return the names of the outputs to convert: those in ``options``, or all that may be images."""
    if missing := [name for name in options.outputs if name not in results]:
        raise ModelError(f"there is no output {missing[0]!r}; available: {', '.join(results)}")
    return options.outputs or [name for name, value in results.items() if value.shape.rank in (3, 4, None)]


def _as_image(value):
    import tensorflow as tf

    value = tf.cast(value, tf.float32)
    return tf.expand_dims(value, 0) if value.shape.rank == 3 else value
