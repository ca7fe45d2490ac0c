import copy

import pytest
import torch

from telucodec.networks.tokens.adversary import Adversary, SpectrumDiscriminator, balanced


@pytest.fixture(scope="module")
def speech(spoken):
    return torch.stack([torch.from_numpy(spoken(1, seed)) for seed in range(2)])


def noisy(audio):
    return audio + 0.3 * audio.std() * torch.randn(audio.shape, generator=torch.Generator().manual_seed(0))


def test_every_time_and_frequency_is_judged(speech):
    verdict, features = SpectrumDiscriminator(256)(speech)
    frames = 1 + speech.shape[1] // 128
    assert verdict.shape == (2, 1, frames, 9)  # 129 bins, of which every 16th has a place
    assert [feature.shape[2] for feature in features] == [frames] * 4


def test_the_adversary_learns_to_tell_speech_from_noisy_speech(speech):
    torch.manual_seed(0)
    adversary = Adversary(torch.device("cpu"))
    losses = [float(adversary.learn(speech, noisy(speech))) for _ in range(30)]
    assert losses[0] == pytest.approx(2.0, abs=0.2) and losses[-1] < 0.8 * losses[0]
    assert adversary.judge(speech, noisy(speech)) > adversary.judge(speech, speech)


def test_judging_has_a_gradient_at_the_output_and_none_at_the_discriminator(speech):
    adversary = Adversary(torch.device("cpu"))
    output = noisy(speech).requires_grad_()
    adversary.judge(speech, output).backward()
    assert output.grad.abs().sum() > 0
    assert all(weight.grad is None and weight.requires_grad for weight in adversary.discriminators.parameters())


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_scale_of_the_other_loss_does_not_matter(scale):
    output = torch.tensor([3.0, 4.0], requires_grad=True)
    loss, other = output.square().sum() / 2, scale * output[0]
    (gradient,) = torch.autograd.grad(balanced(loss, other, 0.5, output), output)
    assert torch.allclose(gradient, torch.tensor([3.0 + 2.5, 4.0]), rtol=1e-4)


def test_training_continues_from_a_state(speech):
    torch.manual_seed(0)
    first, second = (Adversary(torch.device("cpu")) for _ in range(2))
    first.learn(speech, noisy(speech))
    second.restore(copy.deepcopy(first.state()))
    losses = [adversary.learn(speech, noisy(speech)) for adversary in (first, second) for _ in range(2)]
    assert torch.equal(losses[1], losses[3])
