"""The transform of the losses is PyTorch's, with the same gradient, to the bit."""

import pytest
import torch

from telucodec.networks.tokens.stft import stft


@pytest.mark.parametrize(
    "size, hop, length, center, norm",
    [
        (512, 256, 512, True, "backward"),
        (2048, 1024, 2048, True, "backward"),
        (512, 200, 400, True, "backward"),
        (512, 256, 512, False, "backward"),
        (256, 64, 256, True, "ortho"),
    ],
)
def test_it_is_that_of_pytorch_with_its_gradient(size, hop, length, center, norm):
    audio = 0.1 * torch.randn(3, 8000, generator=torch.Generator().manual_seed(0))
    window, signals = torch.hann_window(length), [audio.clone().requires_grad_() for _ in range(2)]
    expected = torch.stft(
        signals[0],
        size,
        hop,
        length,
        window,
        center=center,
        pad_mode="constant",
        normalized=norm == "ortho",
        return_complex=True,
    )
    spectra = stft(signals[1], size, hop, window, center, norm)
    assert spectra.shape == expected.shape and torch.equal(spectra, expected)
    for spectrum in (spectra, expected):
        (spectrum.abs() + 1e-4).log().sum().backward()
    assert torch.equal(signals[0].grad, signals[1].grad)
