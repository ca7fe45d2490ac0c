import torch

from telucodec.networks.waveform import entropy
from telucodec.networks.waveform.entropy import Prices

TABLE = entropy.frequency_table()


def parameters(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(count, 2, generator=generator)
    drawn[:, 0] *= 2.0  # scales from far below a step to far above
    return drawn


def drawn_values(outputs: torch.Tensor, seed: int) -> torch.Tensor:
    scale, _ = entropy.distribution(outputs)
    share = torch.rand(len(outputs), generator=torch.Generator().manual_seed(seed)).clamp(1e-4, 1 - 1e-4)
    return torch.round(torch.logit(share) * torch.exp2(scale))


def test_prices_are_the_bits_of_the_loss():
    outputs = parameters(5000, 2)
    magnitudes = drawn_values(outputs, 3).abs()
    prices = Prices(TABLE)(magnitudes, entropy.kinds(outputs))
    sign = torch.where(magnitudes > 0, 1.0, 0.0)
    near = magnitudes < 25
    assert torch.allclose(prices[near], entropy.bits(magnitudes, outputs)[near], atol=0.35)
    assert (prices >= sign * 0.5).all()


def test_every_distribution_sums_to_one():
    outputs = torch.stack(torch.meshgrid(torch.linspace(-2, 1, 5), torch.linspace(-0.3, 0.5, 4), indexing="ij"), -1)
    values = torch.arange(-3000.0, 3001.0)[:, None, None]
    total = torch.exp2(-entropy.bits(values, outputs.expand(len(values), -1, -1, -1))).sum(0)
    assert torch.allclose(total, torch.ones_like(total), atol=0.002)
    assert (TABLE > 0).all() and TABLE.sum(1).max() < 2**17
