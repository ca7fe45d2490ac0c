from dataclasses import replace

import pytest
import torch

from telucodec.networks.tokens.quantizer import ResidualVQ, sums
from tests.codec.configurations import quantizer_config

SMALL = quantizer_config(num_codebooks=4, codebook_size=16, beam=1)


@pytest.fixture
def points():
    torch.manual_seed(0)
    return torch.randn(2000, 6) @ torch.randn(6, 6)


def fitted(points, **changes):
    torch.manual_seed(1)
    quantizer = ResidualVQ(replace(SMALL, **changes), points.shape[1])
    quantizer.fit(points)
    return quantizer


def decoded(quantizer, codes):
    return sums(quantizer.codebooks, codes)[-1]


def error(quantizer, points, num_codebooks=None):
    codes = quantizer.encode(points[None], num_codebooks)
    return float((decoded(quantizer, codes)[0] - points).square().mean())


def test_after_kmeans_every_codebook_lowers_the_error(points):
    quantizer = fitted(points).eval()
    errors = [error(quantizer, points, count) for count in range(1, 5)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * float(points.square().mean())


def test_a_kmeans_start_beats_a_normal_start(points):
    torch.manual_seed(1)
    assert error(fitted(points), points) < 0.5 * error(ResidualVQ(SMALL, 6), points)


def test_a_normal_start_has_the_configured_scale():
    torch.manual_seed(0)
    small = ResidualVQ(replace(SMALL, init="normal", init_scale=0.01, codebook_size=512), 6)
    assert float(small.codebooks.std()) == pytest.approx(0.01, rel=0.05)


def test_forward_agrees_with_greedy_encode_and_decode(points):
    quantizer = fitted(points).eval()
    quantized = quantizer(points[None, :50])
    codes = quantizer.encode(points[None, :50])
    assert torch.equal(quantized.codes, codes)
    assert torch.allclose(quantized.latents, decoded(quantizer, codes), atol=1e-5)


def test_a_wider_beam_lowers_the_mean_error(points):
    quantizer = fitted(points).eval()
    errors = []
    for beam in (1, 4, 16):
        quantizer.config = replace(quantizer.config, beam=beam)
        errors.append(error(quantizer, points))
    assert errors[0] > errors[1] > errors[2]


def test_codes_of_a_frame_do_not_depend_on_its_neighbours(points):
    quantizer = fitted(points, beam=4).eval()
    together = quantizer.encode(points[None, :40])
    apart = torch.cat([quantizer.encode(points[None, i : i + 1]) for i in range(40)], dim=2)
    assert torch.equal(together, apart)


def test_an_item_uses_only_its_number_of_codebooks(points):
    quantizer = fitted(points).eval()
    both = points[:100].view(2, 50, 6)
    quantized = quantizer(both, num_codebooks=torch.tensor([1, 4]))
    assert torch.allclose(quantized.latents[0], decoded(quantizer, quantized.codes[:1, :1])[0], atol=1e-5)
    assert torch.allclose(quantized.latents[1], decoded(quantizer, quantized.codes[1:])[0], atol=1e-5)


def test_shared_codebooks_go_to_the_frames_where_they_help_most(points):
    quantizer = fitted(points).eval()
    scaled = torch.cat([points[:50] * 0.01, points[50:100]])[None]
    alike, shared = (
        quantizer(scaled, num_codebooks=torch.tensor([2]), shared=torch.tensor([flag])).latents
        for flag in (False, True)
    )
    assert (shared - scaled).square().sum() < 0.9 * (alike - scaled).square().sum()


def commitment_gradient(points, **changes):
    quantizer = fitted(points, **changes).eval()
    latents = points[None, :50].clone().requires_grad_()
    quantizer(latents).loss.backward() if quantizer(latents).loss.requires_grad else None
    return 0.0 if latents.grad is None else float(latents.grad.abs().sum())


def test_only_commitment_of_the_encoder_has_a_gradient_at_the_latents(points):
    assert commitment_gradient(points) > 0
    assert commitment_gradient(points, commitment="codebook") == 0


def test_without_residual_detach_only_the_first_codebook_has_a_gradient(points):
    quantizer = fitted(points).eval()
    latents = points[None, :50].clone().requires_grad_()
    first = latents - decoded(quantizer, quantizer.encode(latents.detach(), 1))
    (first.square().mean() / SMALL.num_codebooks).backward()
    assert commitment_gradient(points, detach_residual=False) == pytest.approx(
        float(latents.grad.abs().sum()), rel=1e-4
    )


def test_the_loss_clamp_stops_the_gradient(points):
    assert commitment_gradient(points, loss_clamp=1e-6) == 0


def test_the_gradient_passes_straight_through(points):
    quantizer = fitted(points).eval()
    latents = points[None, :50].clone().requires_grad_()
    quantizer(latents).latents.sum().backward()
    assert torch.equal(latents.grad, torch.ones_like(latents))


def train_on(quantizer, points, steps=200):
    quantizer.train()
    for step in range(steps):
        torch.manual_seed(step)
        quantizer(points[torch.randint(len(points), (256,))][None])
    return quantizer.eval()


def test_the_moving_average_follows_the_residuals(points):
    shifted = points * 1.5 + 1.0
    quantizer = fitted(points)
    before = error(quantizer.eval(), shifted)
    assert error(train_on(quantizer, shifted), shifted) < 0.7 * before


def test_averaging_quantised_values_moves_no_codeword(points):
    quantizer = fitted(points, ema_target="quantized", dead_code_share=0.0)
    before = quantizer.codebooks.clone()
    train_on(quantizer, points * 1.5 + 1.0)
    assert torch.allclose(quantizer.codebooks, before, atol=1e-3)


def test_dead_codewords_are_replaced(points):
    quantizer = fitted(points)
    quantizer.codebooks[:, 8:] = 1e3
    quantizer.sums[:, 8:] = 1e3 / 16
    quantizer.usage[:, 8:] = 1 / 16
    alive = ResidualVQ(replace(SMALL, dead_code_share=0.0), 6)
    alive.load_state_dict(quantizer.state_dict())
    used = lambda quantizer: len(quantizer.encode(points[None], 1).unique())  # noqa: E731
    assert used(train_on(alive, points, 400)) <= 8
    assert used(train_on(quantizer, points, 400)) == 16


def test_cells_are_split_until_codewords_are_used_evenly():
    """In many dimensions, a codeword placed at a point would be nearest to that point only, and soon dead again."""
    torch.manual_seed(0)
    many = torch.randn(4000, 48)
    many[:2000, 0] += 20  # half of the points, for which the start has one codeword
    quantizer = fitted(many, num_codebooks=1, codebook_size=64, dead_code_share=0.5)
    quantizer.codebooks[0, 1:] = many[2000:2063]
    quantizer.codebooks[0, 0] = many[:2000].mean(0)
    quantizer.restart()
    train_on(quantizer, many, 800)
    share = torch.bincount(quantizer.encode(many[None])[0, 0], minlength=64) / len(many)
    assert torch.special.entr(share).sum().exp() > 0.85 * 64


def test_no_cell_is_split_for_residuals_that_equal_their_codeword(points):
    """Such as digital silence, whose spectra are all the same, and far from the mean."""
    silence = torch.full((8000, 6), -9.0)
    mixed = torch.cat([points, silence])[torch.randperm(10000)]
    quantizer = fitted(points, num_codebooks=1, codebook_size=64, dead_code_share=0.5, dead_code_floor=0.2)
    train_on(quantizer, mixed, 600)
    assert ((quantizer.codebooks[0] - silence[0]).norm(dim=1) < 0.1).sum() == 1


def test_codewords_that_die_together_do_not_become_copies(points):
    """Fewer residuals than dead codewords, so that several split the same cell."""
    quantizer = fitted(points, num_codebooks=1, codebook_size=64, dead_code_share=0.5)
    quantizer.codebooks[:, 8:] = 1e3
    quantizer.sums[:, 8:] = 1e3 / 64
    quantizer.usage[:, 8:] = 1e-6
    quantizer.train()(points[None, :16])
    assert len(quantizer.codebooks[0].half().unique(dim=0)) == 64


def test_no_cell_is_split_for_pauses(points):
    pauses = torch.cat([points, 1e-3 * torch.randn(8000, 6)])[torch.randperm(10000)]
    used = {}
    for floor in (0.0, 0.2):
        quantizer = fitted(points, num_codebooks=1, codebook_size=64, dead_code_share=0.5, dead_code_floor=floor)
        train_on(quantizer, pauses, 600)
        used[floor] = len(quantizer.encode(pauses[pauses.norm(dim=1) < 0.01][None]).unique())
    assert used[0.0] > 10 and used[0.2] <= 3


def test_quantisation_is_float32_under_autocast(points):
    quantizer = fitted(points).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        quantized = quantizer(points[None, :20])
    assert quantized.latents.dtype == torch.float32
    assert torch.equal(quantized.codes, quantizer(points[None, :20]).codes)
