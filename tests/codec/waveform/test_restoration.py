import numpy as np
import pytest
import torch

from telucodec.models import ENHANCER, ModelFolder
from telucodec.networks.enhancer.model import Enhancer, EnhancerConfig, Frames
from telucodec.networks.runtime import complete
from telucodec.waveform.enhancer import EnhancerEngine
from telucodec.waveform.restoration import Decoded, Restoration

HOP = 40


@pytest.fixture(scope="module")
def network():
    """An enhancer that changes much."""
    torch.manual_seed(0)
    enhancer = Enhancer(EnhancerConfig(hop=HOP, channels=16, layers=2, kernel=3))
    with torch.no_grad():
        for weight in enhancer.parameters():
            weight.copy_((weight + 0.2 * torch.randn_like(weight)).half().float())
    return enhancer.eval()


@pytest.fixture(scope="module")
def engine(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("enhancer")
    network.save(folder)
    complete(folder, ENHANCER)
    return EnhancerEngine(ModelFolder(folder, ENHANCER))


@pytest.fixture(scope="module")
def frames():
    random = np.random.default_rng(0)
    coefficients = random.standard_normal((12, HOP)) * (random.random((12, HOP)) < 0.3)
    return Decoded(coefficients, 0.1 * (coefficients == 0), np.full((12, HOP), 0.4))


def test_noise_stands_for_zeros_and_depends_on_its_place(frames):
    whole = Restoration(None, noisy=True).push(frames)
    zero = frames.coefficients == 0
    assert np.array_equal(whole[~zero], frames.coefficients[~zero])
    assert set(np.unique(whole[zero])) == {-0.1, 0.1} and abs(np.sign(whole[zero]).mean()) < 0.2
    assert not np.array_equal(whole[0], whole[1])


@pytest.mark.parametrize("enhanced", [False, True])
def test_frames_one_by_one_are_those_of_the_whole(frames, engine, enhanced):
    enhancer = engine if enhanced else None
    whole, pieces = Restoration(enhancer, noisy=True).push(frames), Restoration(enhancer, noisy=True)
    each = [pieces.push(Decoded(*(part[number : number + 1] for part in frames))) for number in range(12)]
    np.testing.assert_allclose(np.concatenate(each), whole, atol=1e-6)


def test_equal_steps_leave_what_was_read(frames, engine):
    assert Restoration(engine, noisy=False).push(frames) is frames.coefficients


def test_the_runtime_is_the_network_that_was_trained(frames, engine, network):
    output, _ = engine.run(*frames, engine.start())
    with torch.no_grad():
        expected, _ = network(Frames(*(torch.from_numpy(part).float()[None] for part in frames)), network.start(1))
    np.testing.assert_allclose(output, expected[0].numpy(), atol=1e-5)
    assert np.abs(output - frames.coefficients - frames.amplitude).max() > 0.1


def test_before_training_it_changes_nothing(frames):
    fresh = Enhancer(EnhancerConfig(hop=HOP, channels=16, layers=2, kernel=3))
    given = Frames(*(torch.from_numpy(part).float()[None] for part in frames))
    output, _ = fresh(given, fresh.start(1))
    torch.testing.assert_close(output, given.coefficients + given.noise)


def test_after_lost_frames_the_noise_is_that_of_its_place(frames):
    whole, lossy = Restoration(None, noisy=True).push(frames), Restoration(None, noisy=True)
    lossy.skip(3 * HOP)
    assert np.array_equal(lossy.push(Decoded(*(part[3:] for part in frames))), whole[3:])
