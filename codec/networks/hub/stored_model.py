"""The weights and graphs in a model of transformers, as the runtime takes them from a folder."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from torch import Tensor

from telucodec.graphs import session
from telucodec.networks.hub.configuration_telucodec import TeluCodecConfig


class StoredModel:
    """A `telucodec.models.Model` made of the state of a `TeluCodecModel`, which is copied."""

    def __init__(self, config: TeluCodecConfig, state: Mapping[str, Tensor]):
        self.shape: Mapping[str, Any] = {
            "sample_rate": config.sampling_rate,
            "hop": config.hop_length,
            "num_codebooks": config.num_quantizers,
            "codebook_size": config.codebook_size,
            "coding": config.coding,
        }
        self._graphs = {
            name: (state[f"graphs.{name}"].cpu().numpy().tobytes(), graph["weights"])
            for name, graph in config.graphs.items()
        }
        # Graphs declare float16, the type in which weights are stored.
        self.weights: Mapping[str, np.ndarray] = {
            name: value.detach().cpu().half().numpy() for name, value in state.items() if value.is_floating_point()
        }

    def session(self, graph: str, weights: Mapping[str, np.ndarray] | None = None) -> onnxruntime.InferenceSession:
        """The graph of this name, with these weights, or others."""
        data, names = self._graphs[graph]
        given = self.weights if weights is None else weights
        return session(data, {name: given[name] for name in names})
