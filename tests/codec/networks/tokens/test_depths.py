import torch

from telucodec.networks.tokens.depths import depths


def test_depths_meet_the_mean_and_follow_the_gain():
    torch.manual_seed(0)
    errors = torch.rand(3, 200, 9).sort(2, descending=True).values
    means = torch.tensor([1.0, 4.0, 8.0])
    result = depths(errors, means)
    assert torch.allclose(result.float().mean(1), means, atol=0.05)  # equal gains stay together
    assert int(result.min()) >= 0 and int(result.max()) == 8
    # Moving a codebook from one frame to the other would raise the error.
    costly = torch.zeros(1, 2, 3)
    costly[0, 0], costly[0, 1] = torch.tensor([10.0, 4.0, 1.0]), torch.tensor([10.0, 8.0, 7.9])
    assert depths(costly, torch.tensor([1.0])).tolist() == [[2, 0]]
    # A codebook that helps only together with the next one is still used.
    costly[0, 0] = torch.tensor([10.0, 9.9, 1.0])
    assert depths(costly, torch.tensor([1.0])).tolist() == [[2, 0]]


def test_of_frames_with_equal_gains_the_one_farther_from_silence_comes_first():
    errors = torch.tensor([[[4.0, 2.0, 1.0], [16.0, 14.0, 13.0]]])
    assert depths(errors, torch.tensor([0.5])).tolist() == [[0, 1]]
