"""DistillMOS: predicted opinion score of transmitted and generated speech, 1 to 5, without a reference.

Source: Stahl and Gamper, "Distillation and Pruning for Scalable Self-Supervised Representation-Based Speech Quality
Assessment", ICASSP 2025. Clips shorter than 7.7 s are padded with silence.
"""

import contextlib
import io

import numpy as np

from pipeline.judges.judge import Judge, Verdict
from telucodec.networks.torchaudio_import import import_torchaudio


def _load() -> Verdict:
    import torch

    import_torchaudio()  # distillmos imports it, which fails beside a PyTorch without CUDA
    from distillmos import ConvTransformerSQAModel

    with contextlib.redirect_stdout(io.StringIO()):  # prints where its weights lie
        model = ConvTransformerSQAModel().eval()

    def verdict(reference: np.ndarray, decoded: np.ndarray) -> dict[str, float]:
        with torch.inference_mode():
            return {"distillmos": float(model(torch.from_numpy(decoded)[None]))}

    return verdict


JUDGE = Judge(
    name="distillmos",
    measures={"distillmos": "DistillMOS"},
    needs_reference=False,
    modules=("distillmos", "xls_r_sqa"),
    install="pip install 'telucodec[judges]'",
    load=_load,
)
