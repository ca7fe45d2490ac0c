import pytest
import torch

from telucodec.networks.waveform.context import PASSES, ContextModel
from tests.codec.configurations import context_config

CONFIG = context_config(bins=40, channels=16, expansion=2, dilations=(1, 2), features=3, hidden=8)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ContextModel(CONFIG).eval()


@pytest.fixture
def frames():
    return torch.randint(-6, 7, (2, 12, 40), generator=torch.Generator().manual_seed(1)).float()


CONDITIONS = torch.tensor([[0.5, 0.0], [-0.25, 1.5]])
EXPECTED = torch.randint(-60, 60, (2, 12, 40), generator=torch.Generator().manual_seed(2)) / 32


def test_passes_cover_every_coefficient_exactly_once():
    assert sorted(bin for bins in PASSES for bin in range(40)[bins]) == list(range(40))


@torch.no_grad()
def test_a_distribution_depends_only_on_what_is_decoded_before(model, frames):
    before = model(frames, CONDITIONS, EXPECTED)
    for number, bins in enumerate(PASSES):
        changed = frames.clone()
        changed[:, 7, bins] += 5
        changed[:, 8:] = 3
        after = model(changed, CONDITIONS, EXPECTED)
        assert torch.equal(before[:, :7], after[:, :7])
        for earlier in PASSES[: number + 1]:
            assert torch.equal(before[:, 7, earlier], after[:, 7, earlier])
        for later in PASSES[number + 1 :]:
            assert not torch.equal(before[:, 7, later], after[:, 7, later])


@torch.no_grad()
def test_results_do_not_depend_on_the_number_of_threads(model, frames):
    threads = torch.get_num_threads()
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(model(frames, CONDITIONS, EXPECTED))
    torch.set_num_threads(threads)
    assert torch.equal(*results)
