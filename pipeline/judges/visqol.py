"""ViSQOL in speech mode: similarity of spectrograms mapped to an opinion score, 1 to 5.

Source: Chinen et al., "ViSQOL v3: An Open Source Production Ready Objective Speech and Audio Metric", QoMEX 2020. Its mapping
runs in ai-edge-litert; the polynomial that stands in for it elsewhere gives 0.5 to 2 more and is not used here.
"""

import math

import numpy as np

from pipeline.judges.judge import SAMPLE_RATE, Judge, Verdict


def _load() -> Verdict:
    from visqol import VisqolApi

    model = VisqolApi()
    model.create(mode="speech", use_lattice_model=True)

    def verdict(reference: np.ndarray, decoded: np.ndarray) -> dict[str, float]:
        clean, coded = (signal.astype(np.float64) for signal in (reference, decoded))
        try:
            score = float(model.measure_from_arrays(clean, coded, SAMPLE_RATE).moslqo)
        except (IndexError, ValueError):  # no stretch of speech as long as those that it compares, 0.4 s
            score = math.nan
        return {"visqol": score}

    return verdict


JUDGE = Judge(
    name="visqol",
    measures={"visqol": "ViSQOL"},
    needs_reference=True,
    modules=("visqol", "ai_edge_litert"),
    install="pip install 'telucodec[judges]'",
    load=_load,
)
