import copy
import pickle

import numpy as np
import pytest
import torch
from transformers import AutoModel, EncodecFeatureExtractor, MimiConfig, MimiModel

SECONDS = 1.3, 0.7, 0.02


@pytest.fixture(scope="module")
def clips(spoken):
    return [spoken(seconds, seed) for seed, seconds in enumerate(SECONDS)]


@pytest.fixture(scope="module")
def batch(extractor, clips):
    return extractor(clips, sampling_rate=16000, return_tensors="pt")


@pytest.fixture(scope="module")
def mimi():
    torch.manual_seed(0)
    config = MimiConfig(
        hidden_size=32,
        num_filters=4,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        intermediate_size=32,
        codebook_size=32,
        codebook_dim=16,
        vector_quantization_hidden_dimension=16,
        num_quantizers=4,
        upsample_groups=32,
    )
    return MimiModel(config).eval(), EncodecFeatureExtractor(sampling_rate=24000)


@pytest.mark.parametrize("name", ["telucodec", "mimi"])
def test_users_of_mimi_find_what_they_rely_on(name, request):
    model, extractor = (
        request.getfixturevalue("mimi") if name == "mimi" else map(request.getfixturevalue, ("model", "extractor"))
    )
    config = model.config
    rate = config.sampling_rate
    clips = [np.zeros(2 * rate, np.float32), np.zeros(rate, np.float32)]
    assert extractor.sampling_rate == rate
    with pytest.raises(ValueError, match="sampling rate"):
        extractor(clips, sampling_rate=rate // 2)
    inputs = extractor(clips, sampling_rate=rate, return_tensors="pt")
    assert inputs["input_values"].shape == (2, 1, 2 * rate) and inputs["padding_mask"].shape == (2, 2 * rate)
    with torch.no_grad():
        encoded = model.encode(inputs["input_values"], inputs["padding_mask"], 2)
        codes = encoded.audio_codes
        assert codes.dtype == torch.int64 and codes.shape[:2] == (2, 2)
        assert abs(codes.shape[2] - 2 * config.frame_rate) <= 1
        assert codes.max() < config.codebook_size
        mask = model.get_audio_codes_mask(inputs["padding_mask"])
        assert mask.shape == (2, codes.shape[2]) and mask.dtype == torch.bool and mask[0].all() and not mask[1].all()
        decoded = model.decode(codes, inputs["padding_mask"])
        assert decoded.audio_values.shape == (2, 1, 2 * rate) and decoded.audio_values.dtype == torch.float32
        output = model(**inputs)
        assert output.audio_codes.shape[1] == config.num_quantizers and output.audio_values.shape == (2, 1, 2 * rate)
        as_tuple = model.encode(inputs["input_values"], inputs["padding_mask"], 2, return_dict=False)
        assert torch.equal(as_tuple[0], codes) and torch.equal(encoded[0], codes)
        assert model.decode(codes, return_dict=False)[0].ndim == 3


@pytest.mark.parametrize("count", [None, 1, 4, 12])
def test_codes_are_those_of_the_package_for_every_item_of_a_batch(model, shipped, clips, batch, count):
    codes = model.encode(**batch, num_quantizers=count).audio_codes.numpy()
    for row, clip in zip(codes, clips, strict=True):
        expected = shipped.codec.tokenize(clip, count or 0)
        frames = expected.shape[1]
        assert np.array_equal(row[:, :frames], expected)
        assert (row[:, frames:] == -1).all()


def test_the_mask_of_codes_says_where_items_end(model, batch):
    codes = model.encode(**batch).audio_codes
    assert torch.equal(model.get_audio_codes_mask(batch["padding_mask"]), codes[:, 0] >= 0)


@pytest.mark.parametrize("count", [1, 8])
def test_audio_is_that_of_the_package_and_silent_where_padded(model, shipped, clips, batch, count):
    codes = model.encode(**batch, num_quantizers=count).audio_codes
    with torch.no_grad():
        audio = model.decode(codes, batch["padding_mask"]).audio_values[:, 0].numpy()
    for row, item, clip in zip(audio, codes.numpy(), clips, strict=True):
        tokens = item[:, item[0] >= 0]
        assert np.abs(row[: len(clip)] - shipped.codec.detokenize(tokens, len(clip))).max() < 1e-5
        assert not row[len(clip) :].any()


def test_tokens_of_waveforms_work_alike(transform, spoken):
    model = AutoModel.from_pretrained(transform.folder, trust_remote_code=True)
    audio = spoken(1, 5)
    tokens = transform.codec.tokenize(audio)
    with torch.no_grad():
        output = model(torch.from_numpy(audio)[None])
    assert np.array_equal(output.audio_codes[0].numpy(), tokens)
    assert np.abs(output.audio_values[0, 0].numpy() - transform.codec.detokenize(tokens, len(audio))).max() < 1e-5


def test_gradients_reach_the_parameters_and_the_latents(model, batch):
    codes = model.encode(**batch).audio_codes
    latents = model.latents(codes).requires_grad_()
    audio = model.decode(codes, batch["padding_mask"], latents=latents).audio_values
    assert torch.equal(audio, model.decode(codes, batch["padding_mask"]).audio_values)
    model.zero_grad()
    audio.square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in model.parameters())
    frames = latents.grad.abs().sum(1) > 0
    assert frames[0, :-1].all() and not frames[2, 3:].any()  # an item of two frames, then padding
    direction = torch.randn_like(latents) * (codes[:, :1] >= 0)
    step = 1e-3
    with torch.no_grad():
        ahead, behind = (
            model.decode(codes, batch["padding_mask"], latents=latents + sign * step * direction).audio_values
            for sign in (1, -1)
        )
    measured = (ahead.double().square().sum() - behind.double().square().sum()) / (2 * step)
    assert float((latents.grad * direction).sum()) == pytest.approx(float(measured), rel=0.02)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("way", ["load", "cast"])
def test_half_precision_changes_no_code_and_little_of_the_audio(shipped, model, batch, dtype, way):
    loaded = dtype if way == "load" else torch.float32
    half = AutoModel.from_pretrained(shipped.folder, trust_remote_code=True, dtype=loaded).to(dtype)
    assert half.dtype == dtype
    with torch.no_grad():
        whole, output = model(**batch), half(**batch)
    assert torch.equal(output.audio_codes, whole.audio_codes)
    error = (output.audio_values - whole.audio_values).square().sum() / whole.audio_values.square().sum()
    assert output.audio_values.dtype == torch.float32
    assert 0 < error < 10 ** (-2 if dtype == torch.bfloat16 else -4)


def test_a_saved_model_loads_again_and_is_the_same(model, batch, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    again = AutoModel.from_pretrained(tmp_path / "saved", trust_remote_code=True)
    with torch.no_grad():
        before, after = model(**batch), again(**batch)
    assert torch.equal(before.audio_codes, after.audio_codes) and torch.equal(before.audio_values, after.audio_values)


def test_a_model_that_has_encoded_can_be_copied_and_sent_to_other_processes(model, batch):
    codes = model.encode(**batch).audio_codes
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other.encode(**batch).audio_codes, codes)


def test_other_weights_give_other_codes(model, batch):
    other = copy.deepcopy(model)
    before = other.encode(**batch).audio_codes
    other.load_state_dict(
        {name: value.flip(1) if "codebooks" in name else value for name, value in model.state_dict().items()}
    )
    after = other.encode(**batch).audio_codes
    learned = [number for number in range(12) if number not in (0, 4)]
    assert torch.equal(after[:, 0], before[:, 0])
    assert torch.equal(after[:, learned], torch.where(before >= 0, 1023 - before, before)[:, learned])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_values": torch.zeros(1, 2, 800)}, "input_values must be mono"),
        ({"input_values": torch.full((1, 800), torch.nan)}, "not finite"),
        ({"input_values": torch.full((1, 800), 300.0)}, "divide by full scale"),
        ({"num_quantizers": 13}, "13 codebooks requested; this model has 1 to 12"),
        ({"padding_mask": torch.arange(800)[None] > 400}, "padding must come after"),
    ],
)
def test_bad_audio_is_refused(model, changes, message):
    with pytest.raises(ValueError, match=message):
        model.encode(**{"input_values": torch.zeros(1, 800)} | changes)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(4, 10, dtype=torch.int64), r"\[batch, codebooks, frames\]"),
        (torch.zeros(1, 13, 10, dtype=torch.int64), "1 to 12 codebooks"),
        (torch.full((1, 4, 10), 1024), "from 0 to 1023"),
        (torch.zeros(1, 4, 10), "must be integers"),
    ],
)
def test_bad_codes_are_refused(model, codes, message):
    with pytest.raises(ValueError, match=message):
        model.decode(codes)


@pytest.mark.parametrize("argument", [{"n_quantizers": 2}, {"bandwidth": 6.0}])
def test_what_only_dac_or_encodec_take_is_refused_rather_than_ignored(model, batch, argument):
    with pytest.raises(TypeError, match=next(iter(argument))):
        model.encode(batch.input_values, batch.padding_mask, **argument)


def test_latents_of_another_shape_are_refused(model):
    with pytest.raises(ValueError, match=r"latents must be \[1, 64, 10\]"):
        model.decode(torch.zeros(1, 4, 10, dtype=torch.int64), latents=torch.zeros(1, 10, 64))
