"""DNSMOS: predicted opinion scores of noisy and processed speech, 1 to 5, without a reference.

Sources: Reddy et al., "DNSMOS P.835", ICASSP 2022 (overall quality), and "DNSMOS", ICASSP 2021 (ITU-T P.808). Clips shorter
than 9 s are repeated until they are that long.
"""

import numpy as np

from pipeline.judges.judge import SAMPLE_RATE, Judge, Verdict


def _load() -> Verdict:
    from speechmos import dnsmos

    def verdict(reference: np.ndarray, decoded: np.ndarray) -> dict[str, float]:
        scores = dnsmos.run(decoded, SAMPLE_RATE)
        return {"dnsmos_ovrl": float(scores["ovrl_mos"]), "dnsmos_p808": float(scores["p808_mos"])}

    return verdict


JUDGE = Judge(
    name="dnsmos",
    measures={"dnsmos_ovrl": "DNSMOS", "dnsmos_p808": "P.808"},
    needs_reference=False,
    modules=("speechmos", "librosa"),
    install="pip install 'telucodec[judges]'",
    load=_load,
)
