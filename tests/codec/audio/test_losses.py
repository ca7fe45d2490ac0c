"""A recording that lacks a part on its way says so; one that begins late, or belongs to longer pictures, is whole."""

import fractions

import av
import numpy as np
import pytest
import soundfile

from telucodec.audio.reading import opened, read_with_notes
from tests.codec.audio import recordings

RATE = 48000


def pages(content):
    """The pages of an Ogg file."""
    place = 0
    while place < len(content):
        end = place + 27 + content[place + 26]
        end += sum(content[place + 27 : end])
        yield content[place:end]
        place = end


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_lost_page_of_ogg_is_noticed(tmp_path, spoken, subtype):
    path = tmp_path / "x.ogg"
    soundfile.write(path, spoken(9.0, 0, RATE), RATE, format="OGG", subtype=subtype)
    parts = list(pages(path.read_bytes()))
    middle = len(parts) // 2
    path.write_bytes(b"".join(parts[:middle] + parts[middle + 1 :]))
    sound = read_with_notes(path, 16000)
    assert sound.fault == "damaged" and len(sound.samples) < 8.8 * 16000
    assert sound.notes[-1].startswith("its time stamps leave out ") and "convert it to WAV" in sound.notes[-1]


def test_a_lost_stretch_of_a_broadcast_is_noticed(tmp_path, spoken):
    path = recordings.write(tmp_path / "x.ts", spoken(6.0, 0, RATE), RATE, "aac", "mpegts")
    content = path.read_bytes()
    third = len(content) // 188 // 3 * 188
    path.write_bytes(content[:third] + content[2 * third :])
    sound = read_with_notes(path, 16000)
    assert sound.fault == "damaged" and "leave out" in sound.notes[-1]


def film(path, container, voice, begins, video_seconds, pause=0.0):
    """A recording of 6 s, all of it at 1 s or in two halves with a pause between them, beside pictures."""
    with av.open(str(path), "w", format=container) as target:
        pictures = target.add_stream("mpeg4" if container == "matroska" else "wmv2", rate=10) if video_seconds else None
        sound = target.add_stream("flac" if container == "matroska" else "wmav2", rate=RATE)
        sound.bit_rate, sound.layout, sound.time_base = 48000, "mono", fractions.Fraction(1, RATE)
        packets = []
        if pictures is not None:
            pictures.width = pictures.height = 64
            pictures.pix_fmt = "yuv420p"
            for _ in range(round(10 * video_seconds)):
                packets += pictures.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24"))
            packets += pictures.encode()
        resampler = av.AudioResampler(sound.format, "mono", RATE, sound.frame_size or 4096)
        whole = av.AudioFrame.from_ndarray(np.round(voice * 32767).astype(np.int16)[None], "s16", "mono")
        whole.sample_rate = RATE
        place = 0
        for frame in [*resampler.resample(whole), *resampler.resample(None)]:
            late = pause if place > len(voice) / 2 else 0
            frame.pts, frame.time_base = place + round((begins + late) * RATE), sound.time_base
            place += frame.samples
            packets += sound.encode(frame)
        for packet in sorted(packets + sound.encode(), key=lambda packet: float((packet.dts or 0) * packet.time_base)):
            target.mux(packet)
    return path


@pytest.mark.parametrize("container", ["matroska", "asf"])
@pytest.mark.parametrize("begins, video_seconds", [(0, 0), (1.5, 0), (0, 9), (1.5, 9)])
def test_sound_that_begins_late_or_has_longer_pictures_is_whole(tmp_path, spoken, container, begins, video_seconds):
    path = film(tmp_path / "x", container, spoken(6.0, 0, RATE), begins, video_seconds)
    sound = read_with_notes(path, 16000)
    assert sound.fault is None and len(sound.samples) / 16000 == pytest.approx(6.0, abs=0.1)


@pytest.mark.parametrize("container", ["matroska", "asf"])
def test_a_pause_that_was_not_recorded_is_said(tmp_path, spoken, container):
    path = film(tmp_path / "x", container, spoken(6.0, 0, RATE), 0, 0, pause=2.0)
    sound = read_with_notes(path, 16000)
    assert sound.fault == "damaged"
    assert sound.notes == [
        "its time stamps leave out 2.0 s: a part is lost, or pauses were not recorded; copy it again, or convert it to WAV"
    ]
    with opened(path) as recording:
        assert len(np.concatenate(list(recording.blocks))) / RATE == pytest.approx(6.0, abs=0.1)
