import pytest
from hypothesis import given
from hypothesis import strategies as st

from telucodec import CodecError, OperatingPoint

numbers = st.floats(0.01, 1000).map(lambda value: float(f"{value:g}"))
points = st.one_of(
    st.builds(OperatingPoint, snr=numbers, perception=st.sampled_from([0.0, 0.5, 1.0])),
    st.builds(OperatingPoint, kbps=numbers, perception=st.sampled_from([0.0, 0.25, 1.0])),
    st.builds(OperatingPoint, step=st.integers(0, 1023)),
    st.builds(OperatingPoint, tokens=st.integers(0, 32)),
    st.builds(OperatingPoint, tokens=st.just(0), kbps=numbers),
)


@given(points)
def test_a_name_leads_back_to_its_point(point):
    assert OperatingPoint.parse(point.name) == point
    assert OperatingPoint(**point.arguments) == point


@given(points)
def test_points_of_a_family_differ_by_their_value(point):
    assert point.name == f"{point.family}_{point.value:g}"
    assert point.model == ("tokens" if "tokens" in point.name else "waveform")


@pytest.mark.parametrize(
    "arguments, name, option, label",
    [
        ({"snr": 30}, "snr_30", "--snr 30", "waveform, 30 dB SNR"),
        ({"kbps": 6}, "kbps_6", "--kbps 6", "waveform, 6 kbit/s"),
        (
            {"kbps": 6.5, "perception": 1},
            "perception_1_kbps_6.5",
            "--kbps 6.5 --perception 1",
            "waveform, 6.5 kbit/s, perception 1",
        ),
        ({"step": 400}, "step_400", "--step 400", "waveform, step 400"),
        ({"tokens": 1}, "tokens_1", "--tokens 1", "tokens, 1 codebook"),
        ({"tokens": 0}, "tokens_0", "--tokens", "tokens, all codebooks"),
        ({"tokens": 0, "kbps": 2}, "tokens_kbps_2", "--tokens --kbps 2", "tokens, at most 2 kbit/s"),
    ],
)
def test_words_for_people_and_programs(arguments, name, option, label):
    point = OperatingPoint(**arguments)
    assert (point.name, point.option, point.label) == (name, option, label)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "exactly one"),
        ({"snr": 20, "kbps": 6}, "exactly one"),
        ({"snr": 20, "tokens": 2}, "exactly one"),
        ({"snr": float("nan")}, "snr must be a number, got nan"),
        ({"snr": "loud"}, "snr must be a number, got 'loud'"),
        ({"kbps": 0}, "kbps must be above 0"),
        ({"tokens": -1}, "number of codebooks"),
        ({"tokens": 2.5}, "tokens must be an integer, got 2.5"),
        ({"step": "fine"}, "step must be an integer"),
        ({"step": 300, "perception": 1.1}, "perception must lie between 0 and 1"),
        ({"tokens": 2, "perception": 0.5}, "perception is for the waveform codec"),
    ],
)
def test_what_is_not_one_target_is_refused(arguments, message):
    with pytest.raises(CodecError, match=message):
        OperatingPoint(**arguments)


@pytest.mark.parametrize(
    "name", ["", "snr", "snr_", "snr_loud", "loud_3", "tokens_2.5", "perception_x_kbps_3", "kbps_0"]
)
def test_other_names_are_refused(name):
    with pytest.raises(CodecError):
        OperatingPoint.parse(name)
