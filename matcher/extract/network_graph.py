"""The extractor network LEADER as an ONNX graph, rearranged for one CPU core; numerically the same network.

Structure and weights: R. Cappelli, package pyfing (MIT licence). What is rearranged, and why it changes nothing:

* channel-first, channel counts padded with zeros to multiples of 16, so that the runtime's blocked kernels take
  the depthwise convolutions;
* a layer normalisation after a convolution loses its "subtract the mean": the convolution's kernels are centred
  over their outputs instead. Before a 1x1 convolution its gain and shift fold into that. What is left is one
  multiplication by 1 / standard deviation per pixel, the sums taken by 1x1 convolutions to one channel;
* two 1x1 convolutions with nothing but an addition between are one (the contraction and projection of a bottleneck);
* 1x1 layers after a nearest-neighbour doubling are done before it, and the 5x5 convolution after it becomes one 3x3
  convolution per phase of the doubled grid;
* wide 1x1 layers work on four strips of rows, so that what lies between them stays in the cache;
* the heads for direction and type look only at the surroundings of the minutiae found, not at every pixel.
"""

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from matcher.extract.graph_builder import EPSILON, GraphBuilder
from matcher.extract.network_weights import LayerWeights, Weights

STRIPS: Final = 4
"""Fewer spill the 256-channel map of 40 MB from the cache, more spend their time cutting (measured 2, 4, 8)."""
BLOCK: Final = 16
"""Channels the runtime's AVX-512 kernels take at once; a multiple of the AVX2 block of 8."""
MAX_PEAKS: Final = 512
"""A finger has fewer than 150 minutiae, doubtful ones included; bounds time and memory on noise."""
PATCH: Final = 10
"""Side of the surroundings one minutia's heads see, in half-scale pixels: 2 cells, 1 for 3x3, 3 for 7x7 each side."""
PATCH_PAD: Final = 5
OPSET: Final = 20

# Number of a part's layer normalisation and 1x1 convolutions in the weight file: expand, contract, project, narrow,
# mix, last; numbered there in the order of the original model's layers.
POSITION_HEAD: Final = (8, 18, 32, 33, 35, 40, 21, 42, 44)
DIRECTION_HEAD: Final = (9, 19, 34, 36, 39, 43, 22, 46, 48)
TYPE_HEAD: Final = (10, 20, 37, 38, 41, 45, 23, 49, 50)


def centred(kernel: Weights, bias: Weights) -> tuple[Weights, Weights]:
    """The same convolution with the mean over its output channels taken out."""
    return kernel - kernel.mean(0, keepdims=True), bias - bias.mean()


class Channels:
    """A map's channels: how many there are, and where zeros were put in to reach a multiple of the block."""

    def __init__(self, true: int, at: int = 0, zeros: int = 0) -> None:
        self.true, self.at, self.zeros = true, at, zeros

    @property
    def padded(self) -> int:
        return self.true + self.zeros

    def spread(self, array: Weights, axis: int) -> Weights:
        """Zeros where the map has its padding."""
        return np.insert(array, [self.at] * self.zeros, 0.0, axis=axis)


def stem(g: GraphBuilder, w: LayerWeights, image: str, *, first: int, norm: int, pool: str) -> str:
    """Two 5x5 convolutions, the second dilated by 2, as one 9x9; then normalisation, GELU, pooling."""
    (near, near_bias), (wide, wide_bias) = w.conv(first), w.conv(first + 1)
    count = len(near)
    kernel = np.zeros((2 * count, 1, 9, 9))
    kernel[:count, :, 2:7, 2:7] = near
    kernel[count:, :, ::2, ::2] = wide
    kernel, bias = centred(kernel, np.concatenate([near_bias, wide_bias]))
    return g.pool(pool, g.gelu(g.normalised(g.conv(image, kernel, bias), *w.norm(norm))))


def separable(g: GraphBuilder, w: LayerWeights, x: str, number: int, norm: int) -> str:
    depth, matrix, bias = w.separable(number)
    x = g.point(g.depthwise(x, depth), *centred(matrix, bias))
    return g.gelu(g.normalised(x, *w.norm(norm)))


def context(g: GraphBuilder, w: LayerWeights, x: str) -> str:
    """Encoder and decoder that see the whole finger coarsely; 16 channels in, 32 out, half scale."""
    skips = []
    for level in range(4):
        x = separable(g, w, x, level, 1 + level)
        skips.append(x)
        x = g.down(x)
    for level in range(4):
        x = g.up(separable(g, w, x, 4 + level, 5 + level))
        x = g.op("Concat", x, skips[3 - level], axis=1)
    return x


def attention(g: GraphBuilder, w: LayerWeights, x: str) -> str:
    """The context multiplied by a gate computed from its own surroundings at three widths."""
    seen = [g.gelu(g.conv(x, *w.conv(4 + k), dilation=dilation)) for k, dilation in enumerate((1, 3, 6))]
    gate = g.op("Sigmoid", g.point(g.op("Concat", *seen, axis=1), *w.point(7)))
    return g.op("Mul", x, gate)


class Bottleneck:
    """depthwise 7x7 -> normalisation -> 1x1 to 4c, GELU -> 1x1 to c -> add input -> 1x1: folded into two matrices.

    With y the normalised map and r one over its standard deviation, expand(y) = matrix @ (y r) + bias;
    the sum of contraction and input is linear, so project(contract(z) + x) = after @ z + past @ x + last.
    """

    def __init__(
        self,
        w: LayerWeights,
        channels: Channels,
        depthwise: int,
        norm: int,
        numbers: tuple[int, ...],
        *,
        outputs: int = 0,
    ) -> None:
        self.channels = channels
        self.kernel = channels.spread(w.depthwise(depthwise), 0)
        gain, shift = w.norm(norm)
        (expand, expand_bias), (contract, contract_bias) = w.point(numbers[0]), w.point(numbers[1])
        project, project_bias = w.point(numbers[2])
        for number in numbers[3:]:
            further, further_bias = w.point(number)
            project, project_bias = further @ project, further @ project_bias + further_bias
        if len(numbers) > 3:  # the narrow map of a head goes straight into a normalisation
            project, project_bias = centred(project, project_bias)
        scaled = expand * gain[None]
        self.expand = channels.spread(scaled - scaled.mean(1, keepdims=True), 1)
        self.expand_bias = expand_bias + expand @ shift
        rows = [(0, max(outputs - len(project), 0)), (0, 0)]
        self.after = np.pad(project @ contract, rows)
        self.past = np.pad(channels.spread(project, 1), rows)
        self.last = np.pad(project_bias + project @ contract_bias, rows[0])

    def add_to(self, g: GraphBuilder, x: str, *, strips: int = 1, pad: bool = True, centre: str | None = None) -> str:
        """``centre`` is the part of x that the unpadded depthwise convolution keeps."""
        y = g.depthwise(x, self.kernel, pad=pad)
        mean = g.channel_mean(y, self.channels.true, self.channels.padded)
        square = g.channel_mean(g.op("Mul", y, y), self.channels.true, self.channels.padded, EPSILON)
        variance = g.op("Sub", square, g.op("Mul", mean, mean))
        y = g.op("Mul", y, g.op("Reciprocal", g.op("Sqrt", variance)))
        past = x if centre is None else centre
        if strips == 1:
            return self._matrices(g, y, past)
        parts = [g.ops("Split", t, count=strips, axis=2, num_outputs=strips) for t in (y, past)]
        return g.op("Concat", *[self._matrices(g, a, b) for a, b in zip(*parts, strict=True)], axis=2)

    def _matrices(self, g: GraphBuilder, y: str, x: str) -> str:
        z = g.gelu(g.point(y, self.expand, self.expand_bias))
        return g.op("Add", g.point(z, self.after, self.last), g.point(x, self.past))


FEATURES: Final = Channels(52, 20, 12)
"""What the heads see: 20 of the last decoder level, 12 zeros, 32 of the first encoder level."""


def refinement(g: GraphBuilder, w: LayerWeights, x: str) -> str:
    """Encoder and decoder that place the minutiae; 64 channels in, 52 (64 with zeros) out, half scale."""
    skips = []
    for level, count in enumerate((64, 32, 64, 128)):
        numbers = tuple(8 + 3 * level + k for k in range(3))
        block = Bottleneck(w, Channels(count), level, 10 + level, numbers)
        x = block.add_to(g, x, strips=STRIPS if level < 2 else 1)
        skips.append(x)
        x = g.down(x)
    inputs = (Channels(32), Channels(59, 27, 5), Channels(219, 91, 5), Channels(106, 42, 6))
    for level, (channels, outputs) in enumerate(zip(inputs, (32, 96, 48, 32), strict=True)):
        numbers = tuple(20 + 3 * level + k for k in range(3))
        block = Bottleneck(w, channels, 4 + level, 14 + level, numbers, outputs=outputs)
        x = g.up(block.add_to(g, x, strips=STRIPS if level > 1 else 1))
        x = g.op("Concat", x, skips[3 - level], axis=1)
    return x


def phases(kernel: Weights) -> Weights:
    """A 5x5 convolution of a map doubled by nearest neighbour, as a 3x3 one with 4 outputs per channel.

    Row u of the kernel at output row 2 i + p reads source row i + floor((p + u - 2) / 2).
    """
    outputs, inputs = kernel.shape[:2]
    small = np.zeros((outputs, 2, 2, inputs, 3, 3))
    for p, q, u, v in np.ndindex(2, 2, 5, 5):
        small[:, p, q, :, (p + u - 2) // 2 + 1, (q + v - 2) // 2 + 1] += kernel[:, :, u, v]
    return small.reshape(outputs * 4, inputs, 3, 3)


def narrow(g: GraphBuilder, w: LayerWeights, x: str, norm: int, mix: int) -> str:
    return g.gelu(g.point(g.normalised(x, *w.norm(norm)), *w.point(mix)))


def doubled(g: GraphBuilder, w: LayerWeights, x: str, last: int, *, pad: bool) -> str:
    kernel, bias = w.conv(last)
    return g.op("DepthToSpace", g.conv(x, phases(kernel), np.repeat(bias, 4), pad=pad), blocksize=2, mode="CRD")


def position_map(g: GraphBuilder, w: LayerWeights, features: str) -> str:
    """Probability of a minutia at each pixel, blurred by the fixed Gaussian; full scale."""
    depthwise, norm, expand, contract, project, narrow_to, norm2, mix, last = POSITION_HEAD
    block = Bottleneck(w, FEATURES, depthwise, norm, (expand, contract, project, narrow_to))
    x = narrow(g, w, block.add_to(g, features, strips=STRIPS), norm2, mix)
    return g.conv(g.op("Sigmoid", doubled(g, w, x, last, pad=True)), w.blur())


def peaks(g: GraphBuilder, blurred: str, threshold: str) -> tuple[str, str]:
    """Values and flat places of the pixels that equal their 7x7 maximum and reach the threshold, best first.

    At least one is given even where none reaches it (an empty batch is not every kernel's strength): check the value.
    """
    widest = g.op("MaxPool", blurred, kernel_shape=[7, 7], pads=[3] * 4)
    kept = g.op("Where", g.op("Equal", blurred, widest), blurred, g.constant(np.float32(0)))
    flat = g.op("Reshape", kept, g.constant(np.array([-1], np.int64)))
    reached = g.op("Cast", g.op("GreaterOrEqual", flat, threshold), to=TensorProto.INT64)
    found = g.op("ReduceSum", reached, keepdims=0)
    bounded = g.op("Clip", found, g.constant(np.int64(1)), g.constant(np.int64(MAX_PEAKS)))
    count = g.op("Reshape", bounded, g.constant(np.array([1], np.int64)))
    values, places = g.ops("TopK", flat, count, count=2)
    return values, places


def surroundings(g: GraphBuilder, features: str, places: str) -> tuple[str, str]:
    """Cut the features around each place. -> patches (n, channels, 10, 10), inside (n, 1, 4, 4) 1 or 0."""

    def one(value: int) -> str:
        return g.constant(np.array([value], np.int64))

    shape = g.op("Shape", features)
    rows, columns = g.op("Gather", shape, one(2)), g.op("Gather", shape, one(3))
    width = g.op("Mul", columns, one(2))
    # floor((p - 1) / 2), also for p = 0: the 2x2 cells from here cover the 3x3 pixels around p
    first = [
        g.op("Sub", g.op("Div", g.op("Add", g.op(part, places, width), one(1)), one(2)), one(1))
        for part in ("Div", "Mod")
    ]
    padded = g.op("Pad", features, g.constant(np.array([0, 0, 5, 5, 0, 0, 5, 5], np.int64)))
    flat = g.op("Reshape", padded, g.constant(np.array([FEATURES.padded, -1], np.int64)))
    offsets = np.arange(PATCH) - 4 + PATCH_PAD
    column = g.constant(np.array([-1, 1, 1], np.int64))
    row_index = g.op("Add", g.op("Reshape", first[0], column), g.constant(offsets[None, :, None]))
    column_index = g.op("Add", g.op("Reshape", first[1], column), g.constant(offsets[None, None, :]))
    row_length = g.op("Add", columns, one(2 * PATCH_PAD))
    index = g.op("Add", g.op("Mul", row_index, row_length), column_index)
    cut = g.op("Transpose", g.op("Gather", flat, index, axis=1), perm=[1, 0, 2, 3])
    inside = []
    for axis, (start, size) in enumerate(zip(first, (rows, columns), strict=True)):
        shape_of = np.array([-1, 1, 4, 1] if axis == 0 else [-1, 1, 1, 4], np.int64)
        steps = np.arange(-1, 3).reshape(1, 1, *((4, 1) if axis == 0 else (1, 4)))
        at = g.op("Add", g.op("Reshape", start, g.constant(np.array([-1, 1, 1, 1], np.int64))), g.constant(steps))
        good = g.op("And", g.op("GreaterOrEqual", at, one(0)), g.op("Less", at, size))
        inside.append(g.op("Reshape", g.op("Cast", good, to=TensorProto.FLOAT), g.constant(shape_of)))
    return cut, g.op("Mul", *inside)


def patch_head(g: GraphBuilder, w: LayerWeights, numbers: tuple[int, ...], patches: str, inside: str) -> str:
    """One head on the surroundings only. -> (n, outputs, 4, 4), full scale."""
    depthwise, norm, expand, contract, project, narrow_to, norm2, mix, last = numbers
    block = Bottleneck(w, FEATURES, depthwise, norm, (expand, contract, project, narrow_to))
    starts, ends, axes = (g.constant(np.array(v, np.int64)) for v in ([3, 3], [7, 7], [2, 3]))
    centre = g.op("Slice", patches, starts, ends, axes)
    x = narrow(g, w, block.add_to(g, patches, pad=False, centre=centre), norm2, mix)
    # beyond the image the original sees zeros
    return doubled(g, w, g.op("Mul", x, inside), last, pad=False)


def build_graph(w: LayerWeights) -> onnx.ModelProto:
    """The whole network.

    Inputs: ``image`` (1, 1, H, W) float32 grey 0 to 255 at 500 dpi, ridges dark, H and W multiples of 32;
    ``threshold`` () float32.
    Outputs: ``blurred`` (1, 1, H, W) position map; ``values`` (n,) its best local maxima, ``places`` (n,) int64 as
    row * W + column; ``direction`` (n, 2, 4, 4) cosine and sine, not of unit length, and ``kind`` (n, 1, 4, 4) logit of
    "ridge ending", at the full-scale pixels from 2 floor((row - 1) / 2), 2 floor((column - 1) / 2) on.
    """
    g = GraphBuilder()
    seen = attention(g, w, context(g, w, stem(g, w, "image", first=0, norm=0, pool="MaxPool")))
    x = g.op("Concat", seen, stem(g, w, "image", first=2, norm=9, pool="AveragePool"), axis=1)
    features = refinement(g, w, x)
    blurred = position_map(g, w, features)
    values, places = peaks(g, blurred, "threshold")
    patches, inside = surroundings(g, features, places)
    results: dict[str, tuple[str, int, list[int | str | None]]] = {
        "blurred": (blurred, TensorProto.FLOAT, [1, 1, "H", "W"]),
        "values": (values, TensorProto.FLOAT, ["n"]),
        "places": (places, TensorProto.INT64, ["n"]),
        "direction": (patch_head(g, w, DIRECTION_HEAD, patches, inside), TensorProto.FLOAT, ["n", 2, 4, 4]),
        "kind": (patch_head(g, w, TYPE_HEAD, patches, inside), TensorProto.FLOAT, ["n", 1, 4, 4]),
    }
    for name, (source, _, _) in results.items():
        g.nodes.append(helper.make_node("Identity", [source], [name]))
    graph = helper.make_graph(
        g.nodes,
        "leader",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, "H", "W"]),
            helper.make_tensor_value_info("threshold", TensorProto.FLOAT, []),
        ],
        [helper.make_tensor_value_info(name, kind, shape) for name, (_, kind, shape) in results.items()],
        g.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model
