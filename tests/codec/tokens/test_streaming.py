import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import telucodec
from telucodec.networks.tokens.model import TokenCodec

HOP = 320
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pushed(stream, values, cuts):
    """What a stream gives for `values`, cut at these places along the last axis."""
    return np.concatenate([stream.push(piece) for piece in np.split(values, sorted(cuts), axis=-1)], axis=-1)


@few
@given(length=st.integers(0, 3000), cuts=st.lists(st.integers(0, 3000), max_size=6), levels=st.integers(1, 4))
def test_tokens_do_not_depend_on_how_the_audio_is_cut(telu, spoken, length, cuts, levels):
    audio = spoken(0.5, seed=3)[:length]
    stream = telu.token_encoder(levels)
    tokens = np.concatenate([pushed(stream, audio, [cut for cut in cuts if cut <= length]), stream.finish()], axis=1)
    assert tokens.shape == (levels, -(-length // HOP) + 1)
    assert np.array_equal(tokens, telu.tokenize(audio, levels))


@few
@given(cuts=st.lists(st.integers(0, 50), max_size=6), levels=st.integers(1, 4))
def test_audio_does_not_depend_on_how_the_tokens_are_cut(telu, spoken, cuts, levels):
    tokens = telu.tokenize(spoken(0.5, seed=3), levels)
    audio = pushed(telu.token_decoder(), tokens, cuts)
    assert np.abs(audio - telu.detokenize(tokens)).max() < 1e-5


def test_a_frame_leaves_as_soon_as_its_last_sample_is_there(telu, spoken):
    audio, stream = spoken(0.2, seed=3), telu.token_encoder()
    counts = [stream.push(audio[sample : sample + 1]).shape[1] for sample in range(3 * HOP)]
    assert [sample for sample, count in enumerate(counts) if count] == [HOP - 1, 2 * HOP - 1, 3 * HOP - 1]


def test_pytorch_goes_on_from_frame_to_frame_as_well(models, spoken):
    model, audio = TokenCodec.load(models / "tokens"), torch.from_numpy(spoken(1, seed=3)[: 49 * HOP])[None]
    whole, padded = model.encode(audio), torch.nn.functional.pad(audio, (0, HOP))
    state, pieces = model.encoder_start(), []
    for piece in padded.split(HOP, dim=1):
        codes, state = model.encode_next(piece, state)
        pieces.append(codes)
    assert (torch.cat(pieces, 2) != whole).float().mean() < 0.01
    state, pieces = model.decoder_start(), []
    for frame in whole.split(1, dim=2):
        samples, state = model.decode_next(frame, state)
        pieces.append(samples)
    assert torch.allclose(torch.cat(pieces, 1)[:, HOP:], model.decode(whole, audio.shape[1]), atol=1e-5)


def test_the_shipped_model_gives_the_same_tokens_however_it_is_fed(spoken):
    """The weights that people use, on a machine's own kernels, a minute of speech, one hop at a time."""
    telu, audio = telucodec.load(), np.concatenate([spoken(10, seed) for seed in range(6)])
    whole, stream = telu.tokenize(audio), telu.token_encoder()
    pieces = [stream.push(audio[start : start + 320]) for start in range(0, len(audio), 320)]
    assert np.array_equal(np.concatenate([*pieces, stream.finish()], axis=1), whole)
    output, stream = telu.detokenize(whole), telu.token_decoder()
    pieces = [stream.push(frame) for frame in np.split(whole, whole.shape[1], axis=1)]
    assert np.abs(np.concatenate(pieces) - output).max() < 1e-5


def test_what_a_stream_remembers_does_not_grow(telu, spoken):
    audio, stream = spoken(1, seed=3), telu.token_encoder()

    def remembered():
        return len(pickle.dumps([stream._encoder._analysis, stream._waiting]))

    stream.push(audio)
    before = remembered()
    for _ in range(50):
        stream.push(audio)
    assert remembered() == before


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (np.zeros((5, 3), np.int64), "1 to 4 codebooks"),
        (np.zeros(3, np.int64), "codebooks, frames"),
        (np.zeros((2, 3)), "float64"),
        (np.full((2, 3), 64), "between 0 and 63, got 64"),
        (np.full((2, 3), -2), "between 0 and 63, got -2"),
        (np.array([[-1, 0], [3, 3]]), "does not use"),
    ],
)
def test_what_are_no_tokens_is_refused_and_the_stream_goes_on(telu, spoken, tokens, said):
    with pytest.raises(ValueError, match=said):
        telu.detokenize(tokens)
    stream, sound = telu.token_decoder(), telu.tokenize(spoken(0.2, seed=3))
    with pytest.raises(ValueError, match=said):
        stream.push(tokens)
    assert len(stream.push(sound)) == (sound.shape[1] - 1) * HOP


def test_audio_out_of_range_is_refused_and_the_stream_goes_on(telu, spoken):
    audio, stream = spoken(0.2, seed=3), telu.token_encoder()
    stream.push(audio[:100])
    with pytest.raises(ValueError, match="not finite"):
        stream.push(np.full(500, np.nan, np.float32))
    tokens = np.concatenate([stream.push(audio[100:]), stream.finish()], axis=1)
    assert np.array_equal(tokens, telu.tokenize(audio))
