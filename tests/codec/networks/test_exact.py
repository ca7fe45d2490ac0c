import pytest
import torch

from telucodec.networks.exact import (
    EXACT_LIMIT,
    ExactConv,
    ExactDelays,
    ExactLinear,
    activation,
    exact_layers,
    on_grid,
    relu,
    restore,
    stored_state,
)


def test_on_grid_rounds_and_clamps_and_has_no_gradient_outside_the_limits():
    x = torch.tensor([-9.0, -0.26, 0.1, 0.13, 9.0], requires_grad=True)
    y = on_grid(x, 2, -4, 8)
    assert y.tolist() == [-1.0, -0.25, 0.0, 0.25, 2.0]
    y.sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]
    with torch.no_grad():
        assert torch.equal(on_grid(x, 2, -4, 8), y)


@pytest.mark.parametrize("make", [lambda: ExactLinear(700, 30), lambda: ExactConv(60, 30, 9, (4, 4))])
def test_sums_are_the_same_in_any_order(make):
    torch.manual_seed(0)
    layer, order = make(), torch.Generator().manual_seed(1)
    shape = (50, 700) if isinstance(layer, ExactLinear) else (50, 60, 20)
    x = activation(3 * torch.randn(shape))
    with torch.no_grad():
        expected = layer(x)
        assert torch.equal(expected.double(), layer.double()(x.double()))  # float64 holds every sum exactly
        layer.float()
        axis = 1
        permuted = torch.randperm(shape[axis], generator=order)
        layer.weight.data = layer.weight.data[:, permuted]
        assert torch.equal(expected, layer(x.index_select(axis, permuted)))
    assert layer.largest_sum() < EXACT_LIMIT


def test_largest_sum_is_the_sum_for_the_worst_input():
    torch.manual_seed(0)
    layer = ExactLinear(40, 1)
    worst = 127 / 32 * layer.weight.sign()
    with torch.no_grad():
        assert int(layer(worst)[0, 0] * 2.0**layer.bias_bits) == layer.largest_sum()


def test_delays_are_causal_and_can_be_run_in_parts():
    torch.manual_seed(0)
    layer = ExactDelays(3, taps=3, dilation=2)
    x = activation(torch.randn(2, 20, 3))
    whole, _ = layer(x, torch.zeros(2, layer.history, 3))
    past, parts = torch.zeros(2, layer.history, 3), []
    for start, end in ((0, 1), (1, 2), (2, 9), (9, 20)):
        part, past = layer(x[:, start:end], past)
        parts.append(part)
    assert torch.equal(whole, torch.cat(parts, 1))
    changed = x.clone()
    changed[:, 10:] = 1
    later, _ = layer(changed, torch.zeros(2, layer.history, 3))
    assert torch.equal(later[:, :10], whole[:, :10]) and not torch.equal(later[:, 10:], whole[:, 10:])


def test_a_layer_can_be_restored_from_its_integers():
    torch.manual_seed(0)
    layer, other = ExactLinear(50, 20), ExactLinear(50, 20)
    weight, bias = layer.integers()
    assert weight.dtype == torch.int8 and bias.dtype == torch.int32
    other.restore(weight, bias)
    x = activation(torch.randn(8, 50))
    with torch.no_grad():
        assert torch.equal(layer(x), other(x))
    assert dict(exact_layers(torch.nn.Sequential(layer, torch.nn.ReLU(), other))) == {"0": layer, "2": other}


def test_relu_is_on_the_grid_and_never_negative():
    y = relu(torch.randn(1000) * 3)
    assert y.min() == 0 and torch.equal(y * 32, (y * 32).round())


def test_a_stored_state_is_restored_and_must_be_complete():
    torch.manual_seed(0)
    model = torch.nn.Sequential(ExactLinear(4, 3), torch.nn.Linear(3, 2))
    state, other = stored_state(model), torch.nn.Sequential(ExactLinear(4, 3), torch.nn.Linear(3, 2))
    assert state["0.weight"].dtype == torch.int8
    restore(other, state)
    assert all(torch.equal(value, stored_state(other)[name]) for name, value in state.items())
    for wrong in (
        {name: value for name, value in state.items() if name != "1.bias"},
        {name: value for name, value in state.items() if name != "0.bias"},
        state | {"unexpected": torch.zeros(1)},
        state | {"0.weight": torch.zeros(3, 5, dtype=torch.int8)},
    ):
        with pytest.raises((KeyError, RuntimeError, ValueError)):
            restore(other, wrong)
    restore(other, {name: value for name, value in state.items() if name != "1.bias"}, optional=["1.bias"])
