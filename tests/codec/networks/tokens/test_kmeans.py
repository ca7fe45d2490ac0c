import pytest
import torch

from telucodec.networks.tokens.kmeans import kmeans


def test_kmeans_refuses_fewer_points_than_codewords():
    with pytest.raises(ValueError, match="at least as many"):
        kmeans(torch.randn(3, 2), size=4, iterations=1)
