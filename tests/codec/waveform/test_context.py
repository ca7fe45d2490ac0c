import pytest
import torch

from codec.waveform.context import PASSES, ContextConfig, ContextModel, State

CONFIG = ContextConfig(bins=40, channels=16, expansion=2, dilations=(1, 2), features=3, hidden=8)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ContextModel(CONFIG).eval()


@pytest.fixture
def frames():
    return torch.randint(-6, 7, (2, 12, 40), generator=torch.Generator().manual_seed(1)).float()


CONDITIONS = torch.tensor([[0.5, 0.0], [-0.25, 1.5]])


def test_passes_cover_every_coefficient_once():
    assert sorted(bin for bins in PASSES for bin in range(40)[bins]) == list(range(40))


@torch.no_grad()
def test_a_distribution_depends_on_nothing_that_is_decoded_later(model, frames):
    before, _ = model(frames, CONDITIONS)
    for number, bins in enumerate(PASSES):
        changed = frames.clone()
        changed[:, 7, bins] += 5
        changed[:, 8:] = 3
        after, _ = model(changed, CONDITIONS)
        assert torch.equal(before[:, :7], after[:, :7])
        for earlier in PASSES[: number + 1]:
            assert torch.equal(before[:, 7, earlier], after[:, 7, earlier])
        for later in PASSES[number + 1 :]:
            assert not torch.equal(before[:, 7, later], after[:, 7, later])


@torch.no_grad()
def test_frames_one_by_one_give_the_same_numbers(model, frames):
    whole, end = model(frames, CONDITIONS)
    state, none = model.start(2), torch.zeros(2, 0, 40)
    for number in range(frames.shape[1]):
        described, state = model.trunk(state, CONDITIONS, none)
        features = torch.zeros(2, 40)
        for pass_number, bins in enumerate(PASSES):
            assert torch.equal(model.head(pass_number, described, features), whole[:, number, bins])
            features[:, bins] = model.features(frames[:, number, bins])
        state = model.push(state, features)
    assert torch.equal(state.recent, end.recent) and torch.equal(state.age, end.age)
    assert all(torch.equal(one, other) for one, other in zip(state.past, end.past, strict=True))


@torch.no_grad()
def test_packets_side_by_side_do_not_touch_each_other(model, frames):
    both, end = model(frames, CONDITIONS)
    alone, alone_end = model(frames[1:], CONDITIONS[1:])
    assert torch.equal(both[1:], alone)
    assert torch.equal(State.join(end.split()).recent, end.recent)
    assert torch.equal(end.split()[1].past[0], alone_end.past[0])


@torch.no_grad()
def test_a_packet_goes_on_where_its_state_was(model, frames):
    whole, _ = model(frames, CONDITIONS)
    first, state = model(frames[:, :5], CONDITIONS)
    second, _ = model(frames[:, 5:], CONDITIONS, state)
    assert torch.equal(torch.cat([first, second], 1), whole)


@torch.no_grad()
def test_threads_change_no_bit(model, frames):
    threads = torch.get_num_threads()
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(model(frames, CONDITIONS)[0])
    torch.set_num_threads(threads)
    assert torch.equal(*results)
