"""Network layers whose float32 arithmetic is exact, so that every machine computes the same numbers.

An entropy decoder must find the encoder's probabilities to the last bit, which ordinary float networks do not promise:
the order of a sum differs between thread counts, libraries and processors. Here every weight and activation is a small
integer times a power of two, so that each product and each partial sum is a float32 without rounding, in any order, as long
as sums stay below 2^24 units (`ExactLinear.largest_sum`). The layers are trained as they run: rounding passes the gradient
straight through (Bengio et al., arXiv 1308.3432); there is no second, "quantised" version of the network.
"""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATION_BITS = 5  # an activation is a multiple of 2^-5 within +-127 * 2^-5
ACTIVATION_LIMIT = 127
WEIGHT_LIMIT = 127
EXACT_LIMIT = 2**24  # integers up to here are exact in float32


class _OnGrid(torch.autograd.Function):
    @staticmethod
    def forward(context, x: Tensor, bits: int, low: int, high: int) -> Tensor:
        scaled = x * 2.0**bits
        context.save_for_backward(scaled)
        context.limits = low, high
        return scaled.round().clamp_(low, high).mul_(2.0**-bits)

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple:
        return torch.ops.aten.hardtanh_backward(gradient, *context.saved_tensors, *context.limits), None, None, None


def on_grid(x: Tensor, bits: int, low: int, high: int) -> Tensor:
    """The nearest multiples of 2^-bits from low * 2^-bits to high * 2^-bits; the gradient is zero but between them."""
    if torch.is_grad_enabled():
        return _OnGrid.apply(x, bits, low, high)
    return (x * 2.0**bits).round_().clamp_(low, high).mul_(2.0**-bits)


def activation(x: Tensor) -> Tensor:
    """x as the input of a layer: 8 bits with sign."""
    return on_grid(x, ACTIVATION_BITS, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)


def relu(x: Tensor) -> Tensor:
    """Rectified x as the input of a layer: 7 bits."""
    return on_grid(x, ACTIVATION_BITS, 0, ACTIVATION_LIMIT)


class _ExactWeights(nn.Module):
    """Weights of 8 bits whose unit is fixed by the fan-in, and a bias in units of the sums."""

    def __init__(self, shape: tuple[int, ...], fan_in: int, gain: float):
        super().__init__()
        # A unit is about a 24th of the usual standard deviation, so that the limit lies at five standard deviations.
        self.weight_bits = round(math.log2(fan_in) / 2) + 5
        self.weight = nn.Parameter(torch.randn(shape) * gain / math.sqrt(fan_in))
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.frozen = False

    @property
    def bias_bits(self) -> int:
        return self.weight_bits + ACTIVATION_BITS

    def rounded(self) -> tuple[Tensor, Tensor]:
        if self.frozen:
            return self.weight, self.bias
        weight = on_grid(self.weight, self.weight_bits, -WEIGHT_LIMIT, WEIGHT_LIMIT)
        return weight, on_grid(self.bias, self.bias_bits, -EXACT_LIMIT // 4, EXACT_LIMIT // 4)

    def integers(self) -> tuple[Tensor, Tensor]:
        """Weight as int8 and bias as int32, in their units."""
        weight, bias = self.rounded()
        return (weight * 2.0**self.weight_bits).to(torch.int8), (bias * 2.0**self.bias_bits).to(torch.int32)

    def restore(self, weight: Tensor, bias: Tensor) -> None:
        """Take what `integers` gave; nothing is left to round when the layer runs.

        Raises:
            ValueError: it is of another shape.
        """
        if weight.shape != self.weight.shape or bias.shape != self.bias.shape:
            raise ValueError(f"weights of shape {list(weight.shape)} where {list(self.weight.shape)} is expected")
        self.weight.data = weight.float() * 2.0**-self.weight_bits
        self.bias.data = bias.float() * 2.0**-self.bias_bits
        self.frozen = True

    def largest_sum(self) -> int:
        """The largest sum any input can lead to, in units; float32 is exact as long as it is below 2^24."""
        weight, bias = self.rounded()
        products = weight.abs().flatten(1).sum(1) * 2.0**self.weight_bits * ACTIVATION_LIMIT
        return int((products + bias.abs() * 2.0**self.bias_bits).max())


def exact_layers(model: nn.Module) -> Iterator[tuple[str, "_ExactWeights"]]:
    """The names and layers of a model that hold exact weights."""
    return ((name, layer) for name, layer in model.named_modules() if isinstance(layer, _ExactWeights))


def stored(model: nn.Module) -> dict[str, Tensor]:
    """The state of a model, on the CPU, with exact weights as the integers they are."""
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    for name, layer in exact_layers(model):
        state[f"{name}.weight"], state[f"{name}.bias"] = (part.cpu() for part in layer.integers())
    return {name: value.contiguous() for name, value in state.items()}


def restore(model: nn.Module, state: dict[str, Tensor], missing: Iterable[str] = ()) -> None:
    """Take what `stored` gave; what may be `missing` keeps the value it has.

    Raises:
        KeyError, RuntimeError, ValueError: a value is missing, superfluous or of another shape.
    """
    rest, kept = dict(state), list(missing)
    for name, layer in exact_layers(model):
        names = f"{name}.weight", f"{name}.bias"
        layer.restore(*(rest.pop(part) for part in names))
        kept += names
    own = model.state_dict()
    model.load_state_dict({name: own[name] for name in kept} | rest)


class ExactLinear(_ExactWeights):
    """Linear layer on activations [..., inputs]."""

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0):
        super().__init__((outputs, inputs), inputs, gain)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, *self.rounded())


class ExactConv(_ExactWeights):
    """Convolution over the last axis of activations [batch, inputs, length], with (before, after) zeros at the ends."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, padding: tuple[int, int], stride: int = 1, gain: float = 1.0
    ):
        super().__init__((outputs, inputs, kernel), inputs * kernel, gain)
        self.padding, self.stride = padding, stride

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.rounded()
        return functional.conv1d(functional.pad(x, self.padding), weight, bias, self.stride)


class ExactDelays(_ExactWeights):
    """Each channel's weighted sum of its present and `taps - 1` past values, `dilation` frames apart.

    A causal depthwise convolution on activations [batch, frames, channels]; `past` holds the `history` frames before.
    """

    def __init__(self, channels: int, taps: int, dilation: int):
        super().__init__((channels, taps), taps, 1.0)
        self.taps, self.dilation, self.history = taps, dilation, (taps - 1) * dilation

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the sums [batch, frames, channels] and the past of the next frame."""
        weight, bias = self.rounded()
        line = torch.cat([past, x], dim=1)
        frames = x.shape[1]
        total = bias
        for tap in range(self.taps):
            total = total + weight[:, tap] * line[:, tap * self.dilation : tap * self.dilation + frames]
        return total, line[:, frames:]
