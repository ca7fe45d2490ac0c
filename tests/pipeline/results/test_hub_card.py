import json

from huggingface_hub import ModelCard

from pipeline.results import hub_card
from telucodec.codec import SHIPPED
from tests.pipeline.conftest import ROOT

EVALUATED = json.loads((ROOT / "metrics" / "tokens" / "evaluate.json").read_text())


def test_the_licence_and_the_data_sets_are_those_of_the_shipped_weights_where_these_were_the_start():
    own, shipped = hub_card.metadata(EVALUATED, free=True), ModelCard.load(SHIPPED / "tokens" / "README.md").data
    assert (own["license"], own["datasets"]) == (shipped.license, shipped.datasets)
    assert own["license"] in hub_card.LICENCES[True].lower().replace(" ", "-")


def test_the_licence_of_other_weights_is_left_to_who_publishes_them():
    metadata = hub_card.metadata(EVALUATED, free=False)
    assert metadata["license"] == "other" and "datasets" not in metadata
    assert "the licence of the recordings" in hub_card.LICENCES[False]
