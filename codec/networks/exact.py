"""Network layers whose float32 arithmetic is exact, so that every machine computes the same numbers.

An entropy decoder must reproduce the encoder's probabilities to the last bit. Ordinary float networks do not guarantee
this: the order of a sum differs between thread counts, libraries and processors. Here, every weight and activation is a
small integer times a power of two. Each product and each partial sum then fits into a float32 without rounding, in any
order, as long as sums stay below 2^24 units (`ExactWeights.largest_sum`). The layers are trained as they run: rounding
passes the gradient straight through (Bengio et al., arXiv 1308.3432), and no second, "quantised" network exists.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from telucodec.exact import ACTIVATION_BITS, ACTIVATION_LIMIT

WEIGHT_LIMIT = 127
EXACT_LIMIT = 2**24  # float32 represents every integer up to here


class _OnGrid(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, bits: int, low: int, high: int) -> Tensor:
        scaled = x * 2.0**bits
        context.save_for_backward(scaled)
        context.limits = low, high
        return scaled.round().clamp_(low, high).mul_(2.0**-bits)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return torch.ops.aten.hardtanh_backward(gradient, *context.saved_tensors, *context.limits), None, None, None


def on_grid(x: Tensor, bits: int, low: int, high: int) -> Tensor:
    """Round to multiples of 2^-bits and clamp to [low * 2^-bits, high * 2^-bits]; outside, the gradient is zero."""
    if torch.is_grad_enabled():
        return _OnGrid.apply(x, bits, low, high)
    return (x * 2.0**bits).round_().clamp_(low, high).mul_(2.0**-bits)


def activation(x: Tensor) -> Tensor:
    """Round x to the signed 8-bit activations that the layers take."""
    return on_grid(x, ACTIVATION_BITS, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)


def relu(x: Tensor) -> Tensor:
    """Rectify x and round it to 7-bit activations."""
    return on_grid(x, ACTIVATION_BITS, 0, ACTIVATION_LIMIT)


def straightened(x: Tensor) -> Tensor:
    """log2 of an approximation to 2^x that is linear between powers of two, so that it needs no exponential function.

    Source: Mitchell, "Computer multiplication and division using binary logarithms", IRE Transactions EC-11, 1962.
    """
    whole = x.detach().floor()
    return whole + (1 + x - whole).log2()


class ExactWeights(nn.Module):
    """8-bit weights, whose unit follows from the fan-in, and a bias in the unit of the sums."""

    def __init__(self, shape: tuple[int, ...], fan_in: int, gain: float):
        super().__init__()
        # A unit is about 1/24 of the usual standard deviation, so the limit lies at five standard deviations.
        self.weight_bits = round(math.log2(fan_in) / 2) + 5
        self.weight = nn.Parameter(torch.randn(shape) * gain / math.sqrt(fan_in))
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.frozen = False  # whether the parameters lie on the grid already

    @property
    def bias_bits(self) -> int:
        """The bias and the sums are multiples of 2^-bias_bits."""
        return self.weight_bits + ACTIVATION_BITS

    def rounded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias on their grids."""
        if self.frozen:
            return self.weight, self.bias
        weight = on_grid(self.weight, self.weight_bits, -WEIGHT_LIMIT, WEIGHT_LIMIT)
        return weight, on_grid(self.bias, self.bias_bits, -EXACT_LIMIT // 4, EXACT_LIMIT // 4)

    def integers(self) -> tuple[Tensor, Tensor]:
        """Weight as int8 and bias as int32, in their units."""
        weight, bias = self.rounded()
        return (weight * 2.0**self.weight_bits).to(torch.int8), (bias * 2.0**self.bias_bits).to(torch.int32)

    def restore(self, weight: Tensor, bias: Tensor) -> None:
        """Load the output of `integers`. The layer no longer rounds its parameters afterwards.

        Raises:
            ValueError: the shapes differ from those of the layer.
        """
        if weight.shape != self.weight.shape or bias.shape != self.bias.shape:
            raise ValueError(f"expected weights of shape {list(self.weight.shape)}, got {list(weight.shape)}")
        self.weight.data = weight.float() * 2.0**-self.weight_bits
        self.bias.data = bias.float() * 2.0**-self.bias_bits
        self.frozen = True

    def largest_sum(self) -> int:
        """The largest sum that any input can produce, in units. Float32 is exact while it stays below 2^24."""
        weight, bias = self.rounded()
        products = weight.abs().flatten(1).sum(1) * 2.0**self.weight_bits * ACTIVATION_LIMIT
        return int((products + bias.abs() * 2.0**self.bias_bits).max())


class ExactLinear(ExactWeights):
    """Linear layer on activations [..., inputs]."""

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0):
        super().__init__((outputs, inputs), inputs, gain)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, *self.rounded())


class ExactConv(ExactWeights):
    """Convolution along the last axis of activations [batch, inputs, length].

    `padding` is the number of zeros (before, after).
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, padding: tuple[int, int], stride: int = 1, gain: float = 1.0
    ):
        super().__init__((outputs, inputs, kernel), inputs * kernel, gain)
        self.padding, self.stride = padding, stride

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.rounded()
        return functional.conv1d(functional.pad(x, self.padding), weight, bias, self.stride)


class ExactDelays(ExactWeights):
    """For each channel, a weighted sum of the present and `taps - 1` past values, `dilation` frames apart.

    This is a causal depthwise convolution on activations [batch, frames, channels].
    """

    def __init__(self, channels: int, taps: int, dilation: int):
        super().__init__((channels, taps), taps, 1.0)
        self.taps, self.dilation, self.history = taps, dilation, (taps - 1) * dilation

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """The sums [batch, frames, channels], and `past` for the next call.

        Args:
            x: [batch, frames, channels].
            past: [batch, history, channels], the frames before.
        """
        weight, bias = self.rounded()
        line = torch.cat([past, x], dim=1)
        frames = x.shape[1]
        total: Tensor = bias
        for tap in range(self.taps):
            total = total + weight[:, tap] * line[:, tap * self.dilation : tap * self.dilation + frames]
        return total, line[:, frames:]


def exact_layers(model: nn.Module) -> Iterator[tuple[str, ExactWeights]]:
    """The names of a model's layers with exact weights, and the layers."""
    return ((name, layer) for name, layer in model.named_modules() if isinstance(layer, ExactWeights))


def stored_state(model: nn.Module) -> dict[str, Tensor]:
    """The state of a model on the CPU, with exact weights as integers."""
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    for name, layer in exact_layers(model):
        state[f"{name}.weight"], state[f"{name}.bias"] = (part.cpu() for part in layer.integers())
    return {name: value.contiguous() for name, value in state.items()}


def restore(model: nn.Module, state: dict[str, Tensor], optional: Iterable[str] = ()) -> None:
    """Load the output of `stored_state`. Values that are `optional` may be missing; the model then keeps its own.

    Raises:
        KeyError, RuntimeError, ValueError: a value is missing, unexpected or of the wrong shape.
    """
    rest, kept = dict(state), list(optional)
    for name, layer in exact_layers(model):
        weight, bias = f"{name}.weight", f"{name}.bias"
        layer.restore(rest.pop(weight), rest.pop(bias))
        kept += weight, bias
    own = model.state_dict()
    model.load_state_dict({name: own[name] for name in kept} | rest)
