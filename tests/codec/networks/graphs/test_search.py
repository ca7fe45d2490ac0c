import numpy as np
import pytest
from onnx import TensorProto

from telucodec.graphs import session
from telucodec.networks.graphs.search import _least
from telucodec.networks.onnx_graph import Graph


@pytest.mark.parametrize("count, kept", [(64, 4), (96, 1), (128, 4), (1024, 4), (1000, 8), (7, 3), (5, 5)])
def test_the_least_values_equal_those_of_a_full_sort(count, kept):
    graph = Graph({})
    least, places = _least(graph, graph.input("x", "batch", "frames", count), count, kept, axis=2)
    graph.output(least, "least", "batch", "frames", kept)
    graph.output(places, "places", "batch", "frames", kept, dtype=TensorProto.INT64)
    x = np.random.default_rng(0).standard_normal((2, 50, count)).astype(np.float32)
    least, places = session(graph.finish("least"), {}).run(["least", "places"], {"x": x})
    assert np.array_equal(places, x.argsort(2)[..., :kept])
    assert np.array_equal(least, np.take_along_axis(x, places, 2))
