"""The model card of the folder for transformers, with the metadata that the hub reads."""

import json
import math
from typing import Any

import telucodec
from pipeline.common import tables
from pipeline.common.sections import Params
from pipeline.results import model_card

# Of the weights that come with the package; codec/weights/tokens/README.md names their recordings.
SHIPPED_LICENSE = "cc-by-sa-4.0"
SHIPPED_DATASETS = ["ai4bharat/IndicVoices", "mispeech/speechocean762"]  # those that the hub has

TEMPLATE = """---
{metadata}
---
# TeluCodec tokens

Speech at {rate} Hz as {frame_rate:g} frames a second of {codebooks} codes: a codec for speech language models and text to
speech. Fewer codebooks give a lower rate from the same model. It is causal, with a look-ahead of one frame of {frame_ms:g} ms.

## Use

```sh
pip install "transformers>=5" torch onnxruntime soundfile
```

```python
import soundfile
import torch
from transformers import AutoFeatureExtractor, AutoModel

model = AutoModel.from_pretrained("FOLDER", trust_remote_code=True)
extractor = AutoFeatureExtractor.from_pretrained("FOLDER", trust_remote_code=True)

audio, rate = soundfile.read("talk.wav", dtype="float32")  # mono, {rate} Hz
inputs = extractor(audio, sampling_rate=rate, return_tensors="pt")
with torch.no_grad():
    codes = model.encode(**inputs).audio_codes  # [batch, {codebooks}, frames]
    audio = model.decode(codes, inputs["padding_mask"]).audio_values  # [batch, 1, samples]
```

- `encode(input_values, padding_mask, num_quantizers)` codes every item of a batch by itself: padding changes no code. After
  the end of a shorter item the codes are -1; `model.get_audio_codes_mask(padding_mask)` says where. The codes are those of
  `telucodec.Codec.tokenize`, to the bit. Encoding runs on the CPU.
- `decode(audio_codes, padding_mask)` takes any number of codebooks, and -1 for no code. It runs on the model's device.
- Gradients pass through `decode` to the parameters of the decoder network, and to `latents` `[batch, {latent_dim}, frames]`,
  which `model.latents(audio_codes)` gives and `decode(audio_codes, latents=latents)` takes. {gradients}
- Half precision: `dtype=torch.bfloat16` or `model.half()` concerns the decoder network. Codebooks and what comes after the
  network stay float32, codes stay the same, and `audio_values` are float32.

The code in this folder is that of the package `telucodec` {version} (Apache-2.0).

## Data
{data}

## Results
{clips} clips of {tested}. Rates are those of files with entropy coding, which the package writes; without it a codebook takes
{codebook_kbps:g} kbit/s.

{table}

## Limits
{limits}
Other languages, noise and music are untested. The decoder reproduces the recorded voice; it cannot change or imitate a speaker.

## Licence
{licence}
"""
GRADIENTS = {
    "transform": "All of the signal follows from the latents.",
    "vocoder": """The latents describe the spectrum. Pitch
  and phase, codebooks 0 and 4, have no gradient.""",
}
LICENCES = {
    True: """CC BY-SA 4.0: training continued from the weights that come with `telucodec`, and some of their recordings have this
licence.""",
    False: """Whoever publishes these weights is responsible for the licence of the recordings in `{root}` and the consent of
their speakers, and writes the licence into the metadata above.""",
}
MEASURES = {"snr": "SNR dB", "si_sdr": "SI-SDR dB", "stoi": "STOI"} | tables.VERDICTS


def render(params: Params) -> str:
    """The card as Markdown."""
    facts, evaluated = model_card.facts(params, "tokens"), model_card.metrics("tokens/evaluate")
    shipped = telucodec.load(kinds=["tokens"]).model_id("tokens")[:8]
    free = params.data.is_built_in and model_card.metrics("tokens/train").get("start_from") == shipped
    rate, hop, size = params.preprocess.sample_rate, params.model.hop, params.quantizer.codebook_size
    return TEMPLATE.format(
        metadata="\n".join(
            f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in metadata(evaluated, free).items()
        ),
        codebooks=params.quantizer.num_codebooks,
        frame_rate=rate / hop,
        frame_ms=1000 * hop / rate,
        codebook_kbps=rate / hop * math.log2(size) / 1000,
        latent_dim=params.model.latent_dim,
        gradients=GRADIENTS[params.model.coding],
        limits=model_card.LIMITS[params.model.coding],
        licence=LICENCES[free].format(root=params.data.root),
        version=telucodec.__version__,
        **facts,
    )


def metadata(evaluated: dict[str, Any], free: bool) -> dict[str, Any]:
    """What the hub reads at the top of a card.

    Args:
        evaluated: a metrics/tokens/evaluate.json.
        free: whether the weights may be used under the licence of those that come with the package.
    """
    measured = [
        {"type": name, "value": row[name], "name": f"{title}, {point}, {row['kbps']:.2f} kbit/s"}
        for point, row in tables.operating_points(evaluated).items()
        for name, title in MEASURES.items()
        if name in row
    ]
    licence: dict[str, Any] = {"license": "other", "license_name": "terms-of-the-recordings"}
    if free:
        licence = {"license": SHIPPED_LICENSE, "datasets": SHIPPED_DATASETS}
    return {
        **licence,
        "language": ["te"],
        "library_name": "transformers",
        "pipeline_tag": "audio-to-audio",
        "tags": ["audio-codec", "neural-audio-codec", "speech", "speech-tokens", "vocoder"],
        "metrics": sorted({each["type"] for each in measured}),
        "model-index": [
            {
                "name": "TeluCodec tokens",
                "results": [
                    {
                        "task": {"type": "audio-to-audio", "name": "Speech coding"},
                        "dataset": {"type": "speech", "name": f"{evaluated['clips']} test clips"},
                        "metrics": measured,
                    }
                ],
            }
        ],
    }
