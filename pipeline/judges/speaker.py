"""Speaker similarity: cosine between the speaker embeddings of the reference and of the decoded speech, 0 to 1.

Source: Wan et al., "Generalized End-to-End Loss for Speaker Verification", ICASSP 2018, as trained for the package
resemblyzer.
"""

import sys
import types

import numpy as np

from pipeline.judges.judge import Judge, Verdict


def _load() -> Verdict:
    # resemblyzer imports webrtcvad to trim silence, which nothing here asks for, and webrtcvad fails to import where
    # setuptools has no pkg_resources any more.
    sys.modules.setdefault("webrtcvad", types.ModuleType("webrtcvad"))
    from resemblyzer import VoiceEncoder

    encoder = VoiceEncoder("cpu", verbose=False)

    def verdict(reference: np.ndarray, decoded: np.ndarray) -> dict[str, float]:
        return {"speaker_similarity": float(encoder.embed_utterance(reference) @ encoder.embed_utterance(decoded))}

    return verdict


JUDGE = Judge(
    name="speaker",
    measures={"speaker_similarity": "speaker"},
    needs_reference=True,
    modules=("resemblyzer", "librosa"),
    install="pip install 'telucodec[judges]' and then pip install --no-deps resemblyzer",
    load=_load,
)
