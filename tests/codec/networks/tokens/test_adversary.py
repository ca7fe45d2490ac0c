import copy

import pytest
import torch

from telucodec.networks.tokens.adversary import Adversary, SpectrumDiscriminator, balance


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


def learn(adversary, audio, output):
    """The hinge loss before a step."""
    hinge = adversary.judge(audio, output).hinge
    adversary.learn(hinge)
    return hinge.detach()


def test_the_adversary_learns_to_tell_speech_from_noisy_speech(speech):
    torch.manual_seed(0)
    adversary = Adversary(torch.device("cpu"))
    losses = [float(learn(adversary, speech, noisy(speech))) for _ in range(30)]
    assert losses[0] == pytest.approx(2.0, abs=0.2) and losses[-1] < 0.8 * losses[0]
    assert adversary.judge(speech, noisy(speech)).adversarial > adversary.judge(speech, speech).adversarial


def test_what_is_judged_once_moves_the_output_by_one_loss_and_the_discriminators_by_the_other(speech):
    adversary = Adversary(torch.device("cpu"))
    output = noisy(speech).requires_grad_()
    judged = adversary.judge(speech, output)
    loss = (output - speech).square().mean()
    balance(judged.adversarial, 1.0, output)
    adversary.learn(judged.hinge)
    assert output.grad is None
    loss.backward()
    own = 2 * (output - speech).detach() / speech.numel()
    assert (output.grad - own).norm() == pytest.approx(float(own.norm()), rel=1e-3)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_scale_of_the_other_loss_does_not_matter(scale):
    output = torch.tensor([3.0, 4.0], requires_grad=True)
    loss, other = output.square().sum() / 2, scale * output[0]
    balance(other, 0.5, output)
    loss.backward()
    assert torch.allclose(output.grad, torch.tensor([3.0 + 2.5, 4.0]), rtol=1e-4)


def test_training_continues_from_a_state(speech):
    torch.manual_seed(0)
    first, second = (Adversary(torch.device("cpu")) for _ in range(2))
    learn(first, speech, noisy(speech))
    second.restore(copy.deepcopy(first.state()))
    losses = [learn(adversary, speech, noisy(speech)) for adversary in (first, second) for _ in range(2)]
    assert torch.equal(losses[1], losses[3])
