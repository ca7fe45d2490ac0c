"""The model card that goes with exported weights, written from the manifest and the metrics."""

import json

from codec.tokens import TokenConfig
from pipeline import files
from pipeline.params import Params

MEASURES = {"snr": "SNR dB", "si_sdr": "SI-SDR dB", "segmental_snr": "segSNR dB", "pesq_wb": "PESQ-WB", "stoi": "STOI"}

TEMPLATE = """---
language: te
tags: [audio-codec, speech]
---
# TeluCodec tokens, {kbps:g} kbps

A neural speech codec for {rate} Hz mono speech: {levels} codebooks of {size}, {frame_rate:g} frames a second. Causal; it looks
ahead by one frame of {frame_ms:g} ms. {parameters:.2g} M parameters.

## Data
{data}

## Results
{clips} clips of {tested}. Rates are nominal: the codes alone, at a fixed rate.

{table}

Before training, from principal components and k-means alone: {start:.2f} dB SNR on the validation split with {levels}
codebooks; after {epochs} epochs {end:.2f} dB.

## Use
`encoder.onnx` maps audio `[batch, samples]`, float32 in [-1, 1] and a multiple of {hop} samples long, to codes
`[batch, {levels}, samples / {hop} + 1]`; `decoder.onnx` maps codes back. In Python, with this repository installed:

```python
from pathlib import Path
from codec.tokens import TokenCodec

codec = TokenCodec.load(Path("export"))
codes = codec.encode(audio)                    # audio: float32 tensor [batch, samples] at {rate} Hz
output = codec.decode(codes, audio.shape[1])
```

## Limits
Trained for waveform fidelity on the speech above; other languages, noise and music are untested. The decoder returns what
the voice was: it is no means to change or to imitate a speaker. Whoever publishes these weights answers for the licence
and the consent under which the recordings in `{root}` were made.
"""


def render(params: Params, config: TokenConfig) -> str:
    """The card as Markdown, from data/manifest.jsonl's metrics and metrics/*.json."""
    discovered, trained, evaluated, split = (_metrics(name) for name in ("discover", "train", "evaluate", "preprocess"))
    deepest = evaluated[f"codebooks_{max(params.evaluate.levels)}"]
    return TEMPLATE.format(
        kbps=deepest["kbps"],
        rate=config.sample_rate,
        levels=config.quantizer.levels,
        size=config.quantizer.size,
        hop=config.hop,
        frame_rate=config.sample_rate / config.hop,
        frame_ms=1000 * config.hop / config.sample_rate,
        parameters=trained["parameters"] / 1e6,
        data=_data(params, discovered["data"], split),
        clips=evaluated["clips"],
        tested=f"`{params.evaluate.root}`" if params.evaluate.root else "speakers held out from training",
        table=_table(evaluated, params.evaluate.levels),
        start=trained["before_training"][f"snr_{config.quantizer.levels}"],
        end=trained["after_training"][f"snr_{config.quantizer.levels}"],
        epochs=trained["epochs"],
        root=params.data.root,
    )


def _data(params: Params, found: dict, split: dict) -> str:
    source = "the built-in synthetic Telugu speech (espeak-ng)" if params.data.is_built_in else f"`{params.data.root}`"
    return (
        f"{found['hours']:.2f} hours, {found['clips']} recordings, {found['speakers']} speakers from {source}; "
        f"{found['rejected']['total']} files were rejected. Training: {split['train']['minutes']:.1f} minutes of "
        f"{split['train']['speakers']} speakers."
    )


def _table(evaluated: dict, levels: list[int]) -> str:
    lines = ["| codebooks | kbps | " + " | ".join(MEASURES.values()) + " |", "|---" * (len(MEASURES) + 2) + "|"]
    for count in sorted(levels):
        row = evaluated[f"codebooks_{count}"]
        cells = [f"{row[name]:.2f}" if name in row else "undefined" for name in MEASURES]
        lines.append(f"| {count} | {row['kbps']:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _metrics(stage: str) -> dict:
    return json.loads((files.METRICS / f"{stage}.json").read_text(encoding="utf-8"))
