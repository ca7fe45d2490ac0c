"""The model card that goes with exported weights, written from the manifest and the metrics."""

import json
import math

from pipeline import files, tables
from pipeline.sections import Params

TEMPLATE = """---
language: te
tags: [audio-codec, speech]
---
# TeluCodec tokens, up to {kbps:g} kbps

A neural speech codec for {rate} Hz mono speech: {levels} codebooks of {size}, {frame_rate:g} frames a second. Causal; it looks
ahead by one frame of {frame_ms:g} ms. {parameters:.2g} M parameters.

## Data
{data}

## Results
{clips} clips of {tested}. Rates are those of the files, everything counted.

{table}

Before training, {begun}: {start:.2f} dB SNR on the validation split with {levels}
codebooks; after {epochs} epochs {end:.2f} dB.

## Use
```python
from codec.codec import load

telu = load("export")
tokens = telu.tokenize(audio)                  # audio: float32 [samples] at {rate} Hz; tokens: int64 [{levels}, frames]
output = telu.detokenize(tokens, len(audio))
encoder, decoder = telu.token_encoder(), telu.token_decoder()   # the same as it comes: push samples, push tokens
```

`encoder.onnx` and `decoder.onnx` need nothing but ONNX Runtime and go on from call to call, one frame or many at a time: `audio`
`[batch, frames * {hop}]` gives `codes_N` `[batch, frames, N]` with N codebooks, `codes` gives `audio`, a hop behind. What they
remember comes out as `next_NAME` and goes in as `NAME`, zeros at a recording's start; at its end, pad it by one hop.

## Limits
Trained for waveform fidelity on the speech above; other languages, noise and music are untested. The decoder returns what
the voice was: it is no means to change or to imitate a speaker. Whoever publishes these weights answers for the licence
and the consent under which the recordings in `{root}` were made.
"""


WAVEFORM = """---
language: te
tags: [audio-codec, speech]
---
# TeluCodec waveform

An entropy-coded speech codec for {rate} Hz mono speech at any rate: an MDCT of {frame_ms:g} ms frames, and a causal context
network of {parameters:.2g} M 8-bit weights that tells the range coder how likely each coefficient is. Its arithmetic is exact,
so that every machine decodes the same.

## Data
{data}

## Results
{clips} clips of {tested}. Rates are those of the files, everything counted.

{table}

Validation split, ideal coder: {start} before training, {end} after {epochs} epochs.

## Use
```sh
telucodec encode talk.wav --snr 30 --model FOLDER    # FOLDER/waveform holds these files
```

## Limits
Trained on the speech above; other languages, noise and music cost more bits and are untested. It returns the waveform that
was spoken. Whoever publishes these weights answers for the licence and the consent of the recordings in `{root}`.
"""


def render(params: Params, model: str) -> str:
    """The card as Markdown, from the metrics of the stages before."""
    discovered, split = _metrics("discover"), _metrics("preprocess")
    trained, evaluated = _metrics(f"{model}/train"), _metrics(f"{model}/evaluate")
    shared = {
        "rate": params.preprocess.sample_rate,
        "parameters": trained["parameters"] / 1e6,
        "data": _data(params, discovered["data"], split),
        "clips": evaluated["clips"],
        "tested": f"`{params.evaluate.root}`" if params.evaluate.root else "speakers held out from training",
        "table": tables.points({name: row for name, row in evaluated.items() if isinstance(row, dict)}),
        "epochs": trained["epochs"],
        "root": params.data.root,
    }
    begun = "from principal components and k-means alone"
    if "start_from" in trained:
        origin = f"`{params.loop(model).start_from}` (model {trained['start_from']})"
        shared["data"] += f" Training went on from {origin}, which had learnt from other speech."
        begun = f"as {origin} has it"
    if model == "waveform":
        ends = {
            name: ", ".join(
                f"{value:.2f} {key.removeprefix('kbps_').replace('_', ' ')}" for key, value in trained[when].items()
            )
            for name, when in (("start", "before_training"), ("end", "after_training"))
        }
        return WAVEFORM.format(
            frame_ms=1000 * params.waveform.model.hop / params.preprocess.sample_rate, **ends, **shared
        )
    hop, levels = params.model.hop, params.quantizer.levels
    return TEMPLATE.format(
        kbps=shared["rate"] / hop * levels * math.log2(params.quantizer.size) / 1000,
        levels=levels,
        size=params.quantizer.size,
        hop=hop,
        frame_rate=shared["rate"] / hop,
        frame_ms=1000 * hop / shared["rate"],
        begun=begun,
        start=trained["before_training"][f"snr_{levels}"],
        end=trained["after_training"][f"snr_{levels}"],
        **shared,
    )


def _data(params: Params, found: dict, split: dict) -> str:
    source = "the built-in synthetic Telugu speech (espeak-ng)" if params.data.is_built_in else f"`{params.data.root}`"
    return (
        f"{found['hours']:.2f} hours, {found['clips']} recordings, {found['speakers']} speakers from {source}; "
        f"{found['rejected']['total']} files were rejected. Training: {split['train']['minutes']:.1f} minutes of "
        f"{split['train']['speakers']} speakers."
    )


def _metrics(name: str) -> dict:
    return json.loads((files.METRICS / f"{name}.json").read_text(encoding="utf-8"))
