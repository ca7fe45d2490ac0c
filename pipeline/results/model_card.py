"""The model card that accompanies exported weights, written from the parameters and the metrics."""

import json
import math
from typing import Any

from pipeline.common import files, tables
from pipeline.common.sections import Params

TEMPLATE = """---
language: te
tags: [audio-codec, speech]
---
# TeluCodec tokens, up to {kbps:g} kbps

A neural speech codec for {rate} Hz mono speech: {codebooks} codebooks of {size}, {frame_rate:g} frames per second.
It is causal with a look-ahead of one frame of {frame_ms:g} ms, and has {parameters:.2g} M parameters.

## Data
{data}

## Results
{clips} clips of {tested}. Rates are those of complete files.

{table}

SNR on the validation split with all codebooks: {start:.2f} dB before training ({begun}), {end:.2f} dB after
{epochs} epochs.

## Use
```python
import telucodec

telu = telucodec.load("export")
tokens = telu.tokenize(audio)                  # audio: float32 [samples] at {rate} Hz; tokens: int64 [{codebooks}, frames]
output = telu.detokenize(tokens, len(audio))
encoder, decoder = telu.token_encoder(), telu.token_decoder()   # for streams: push samples, push tokens
```

{graphs} Their state leaves as `next_NAME` and enters the next call as `NAME`; it is zero at the start of a recording.
Pad the end of a recording by one hop.

## Limits
{limits}
Other languages, noise and music are untested. The decoder reproduces the recorded voice; it cannot change or imitate a speaker.
Whoever publishes these weights is responsible for the licence of the recordings in `{root}` and the consent of their speakers.
"""


GRAPHS = {
    "transform": """`encoder.onnx` and `decoder.onnx` need only ONNX Runtime and take one frame or many per call: `audio`
`[batch, frames * {hop}]` becomes `codes_N` `[batch, frames, N]` with N codebooks, `codes` becomes `audio` with a delay of one
hop.""",
    "vocoder": """`encoder.onnx` and `decoder.onnx` hold the networks; what comes before and after them is in the module
`telucodec.vocoder` (NumPy). They take one frame or many per call: `levels` become `codes_N` `[batch, frames, N]` of N spectral
codebooks, `codes` become `spectra` and `corrections` of the filters.""",
}
LIMITS = {
    "transform": "Trained for waveform fidelity on the speech above.",
    "vocoder": "Tokens describe one voice at a time; of several at once, or of music, only the loudest pitch remains.",
}

WAVEFORM = """---
language: te
tags: [audio-codec, speech]
---
# TeluCodec waveform

An entropy-coded speech codec for {rate} Hz mono speech at any rate: an MDCT of {frame_ms:g} ms frames, and a causal context
network of {parameters:.2g} M 8-bit weights that gives the range coder the probability of each coefficient. Its arithmetic is
exact, so that every machine decodes the same samples.

Files made with `--perception` hold the levels of bands as well, and `enhancer/`, a causal network of {enhancer_parameters:.2g} M
parameters, improves their sound after decoding; `telucodec decode --plain` leaves it out. On the validation split at about
6 kbit/s it brings the distance of the levels of mel bands from {plain_mel:.3f} to {mel:.3f} Np, and the SNR from
{plain_snr:.2f} to {snr:.2f} dB.

## Data
{data}

## Results
{clips} clips of {tested}. Rates are those of complete files.

{table}

Validation split with an ideal coder: {start} before training, {end} after {epochs} epochs.

## Use
```sh
telucodec encode talk.wav --snr 30 --model FOLDER    # FOLDER/waveform holds these files
```

## Limits
Trained on the speech above; other languages, noise and music need more bits and are untested. Whoever publishes these weights is
responsible for the licence of the recordings in `{root}` and the consent of their speakers.
"""


def render(params: Params, model: str) -> str:
    """The card of a model, `tokens` or `waveform`, as Markdown."""
    trained, shared = metrics(f"{model}/train"), facts(params, model)
    begun = _origin(params, model) or "principal components and k-means alone"
    if model == "waveform":
        ends = {
            name: ", ".join(
                f"{value:.2f} {key.removeprefix('kbps_').replace('_', ' ')}" for key, value in trained[when].items()
            )
            for name, when in (("start", "before_training"), ("end", "after_training"))
        }
        enhancer = metrics("enhancer/train")
        return WAVEFORM.format(
            frame_ms=1000 * params.waveform.model.hop / params.preprocess.sample_rate,
            enhancer_parameters=enhancer["parameters"] / 1e6,
            **enhancer["after_training"],
            **ends,
            **shared,
        )
    hop, codebooks = params.model.hop, params.quantizer.num_codebooks
    return TEMPLATE.format(
        kbps=params.preprocess.sample_rate / hop * codebooks * math.log2(params.quantizer.codebook_size) / 1000,
        codebooks=codebooks,
        size=params.quantizer.codebook_size,
        hop=hop,
        frame_rate=params.preprocess.sample_rate / hop,
        frame_ms=1000 * hop / params.preprocess.sample_rate,
        begun=begun,
        graphs=GRAPHS[params.model.coding].format(hop=hop),
        limits=LIMITS[params.model.coding],
        start=trained["before_training"][f"snr_{codebooks}"],
        end=trained["after_training"][f"snr_{codebooks}"],
        **shared,
    )


def facts(params: Params, model: str) -> dict[str, Any]:
    """What all cards say about data, training and results, by the names in their templates."""
    trained, evaluated, origin = metrics(f"{model}/train"), metrics(f"{model}/evaluate"), _origin(params, model)
    data = _data(params, metrics("discover")["data"], metrics("preprocess"))
    if origin:
        data += f" Training started from {origin}, which had been trained on other speech."
    return {
        "rate": params.preprocess.sample_rate,
        "parameters": trained["parameters"] / 1e6,
        "data": data,
        "clips": evaluated["clips"],
        "tested": f"`{params.evaluate.root}`" if params.evaluate.root else "speakers held out from training",
        "table": tables.evaluated(evaluated),
        "epochs": trained["epochs"],
        "root": params.data.root,
    }


def _origin(params: Params, model: str) -> str | None:
    """The weights that training started from."""
    trained = metrics(f"{model}/train")
    return f"`{params.loop(model).start_from}` (model {trained['start_from']})" if "start_from" in trained else None


def _data(params: Params, discovered: dict[str, Any], split: dict[str, Any]) -> str:
    source = "the built-in synthetic Telugu speech (espeak-ng)" if params.data.is_built_in else f"`{params.data.root}`"
    return (
        f"{discovered['hours']:.2f} hours, {discovered['clips']} recordings, {discovered['speakers']} speakers from {source}; "
        f"{discovered['rejected']['total']} files were rejected. Training: {split['train']['minutes']:.1f} minutes of "
        f"{split['train']['speakers']} speakers."
    )


def metrics(name: str) -> dict[str, Any]:
    """The content of a file in metrics/."""
    return json.loads((files.METRICS / f"{name}.json").read_text(encoding="utf-8"))
