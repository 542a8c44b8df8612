"""The extractor network written down layer by layer, as a converter would: what our rearranged graph is timed against.

Every layer of the table in docs/matcher.md is one or a few nodes, all three heads run over the whole picture, layer
normalisation is its formula. Same weights, same runtime, same results.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper

from matcher.extract.graph_builder import EPSILON, GraphBuilder
from matcher.extract.network_graph import DIRECTION_HEAD, OPSET, POSITION_HEAD, TYPE_HEAD
from matcher.extract.network_weights import LayerWeights


def norm(g: GraphBuilder, w: LayerWeights, x: str, number: int) -> str:
    gain, shift = w.norm(number)
    axes = g.constant(np.array([1], np.int64))
    apart = g.op("Sub", x, g.op("ReduceMean", x, axes, keepdims=1))
    variance = g.op("ReduceMean", g.op("Mul", apart, apart), axes, keepdims=1)
    unit = g.op("Div", apart, g.op("Sqrt", g.op("Add", variance, g.constant(np.float32(EPSILON)))))
    scaled = g.op("Mul", unit, g.constant(gain[None, :, None, None]))
    return g.op("Add", scaled, g.constant(shift[None, :, None, None]))


def stem(g: GraphBuilder, w: LayerWeights, *, first: int, number: int, pool: str) -> str:
    near, wide = w.conv(first), w.conv(first + 1)
    both = g.op("Concat", g.conv("image", *near), g.conv("image", *wide, dilation=2), axis=1)
    return g.pool(pool, g.gelu(norm(g, w, both, number)))


def separable(g: GraphBuilder, w: LayerWeights, x: str, number: int, norm_number: int) -> str:
    depth, matrix, bias = w.separable(number)
    return g.gelu(norm(g, w, g.point(g.depthwise(x, depth), matrix, bias), norm_number))


def bottleneck(g: GraphBuilder, w: LayerWeights, x: str, *numbers: int) -> str:
    depthwise, norm_number, *points = numbers
    y = norm(g, w, g.depthwise(x, w.depthwise(depthwise)), norm_number)
    y = g.point(g.gelu(g.point(y, *w.point(points[0]))), *w.point(points[1]))
    return g.point(g.op("Add", y, x), *w.point(points[2]))


def head(g: GraphBuilder, w: LayerWeights, x: str, numbers: tuple[int, ...]) -> str:
    depthwise, norm_number, expand, contract, project, narrow, second_norm, mix, last = numbers
    y = g.up(bottleneck(g, w, x, depthwise, norm_number, expand, contract, project))
    y = norm(g, w, g.point(y, *w.point(narrow)), second_norm)
    return g.conv(g.gelu(g.point(y, *w.point(mix))), *w.conv(last))


def plain_graph(w: LayerWeights) -> onnx.ModelProto:
    """Input ``image`` as the matcher's graph; outputs of full size: probability, direction, kind, blurred."""
    g = GraphBuilder()
    x, skips = stem(g, w, first=0, number=0, pool="MaxPool"), []
    for level in range(4):
        x = separable(g, w, x, level, 1 + level)
        skips.append(x)
        x = g.down(x)
    for level in range(4):
        x = g.op("Concat", g.up(separable(g, w, x, 4 + level, 5 + level)), skips[3 - level], axis=1)
    seen = [g.gelu(g.conv(x, *w.conv(4 + k), dilation=dilation)) for k, dilation in enumerate((1, 3, 6))]
    x = g.op("Mul", x, g.op("Sigmoid", g.point(g.op("Concat", *seen, axis=1), *w.point(7))))
    x, skips = g.op("Concat", x, stem(g, w, first=2, number=9, pool="AveragePool"), axis=1), []
    for level in range(4):
        x = bottleneck(g, w, x, level, 10 + level, *range(8 + 3 * level, 11 + 3 * level))
        skips.append(x)
        x = g.down(x)
    for level in range(4):
        x = bottleneck(g, w, x, 4 + level, 14 + level, *range(20 + 3 * level, 23 + 3 * level))
        x = g.op("Concat", g.up(x), skips[3 - level], axis=1)
    probability = g.op("Sigmoid", head(g, w, x, POSITION_HEAD))
    results = {
        "probability": (probability, 1),
        "direction": (head(g, w, x, DIRECTION_HEAD), 2),
        "kind": (g.op("Sigmoid", head(g, w, x, TYPE_HEAD)), 1),
        "blurred": (g.conv(probability, w.blur()), 1),
    }
    for name, (source, _) in results.items():
        g.nodes.append(helper.make_node("Identity", [source], [name]))
    graph = helper.make_graph(
        g.nodes,
        "plain",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, "H", "W"])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, "H", "W"])
            for name, (_, channels) in results.items()
        ],
        g.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
