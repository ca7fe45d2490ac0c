"""Public corpora as they come: miniatures in their true layout."""

import json

import pytest

from pipeline.common import files
from pipeline.common.stage import StageError
from pipeline.corpus.layouts import doubt

NAME = "IISc_RESPIN_te_D1_{}_500001_M_AGRI_103184_{}"


def respin(recorded, reassigned):
    """Utterances of the accounts 10012 and 10013, and who really spoke."""
    meta = {}
    for number, (account, who) in enumerate(reassigned):
        name = NAME.format(account, f"1000000{number}")
        path = f"D1/{account}/{name}.wav"
        folder = recorded(path)
        meta[name] = {"speaker_id": account, "speaker_id_reassigned": who, "wav_path": path, "dialect": "D1"}
    return folder, meta


def test_respin_by_who_really_spoke(recorded, speakers):
    folder, meta = respin(recorded, [("10012", "10012_1"), ("10012", "10012_2"), ("10013", "NA"), ("10014", "10012_1")])
    (folder / "meta_train_te_small.json").write_text(json.dumps(meta, indent=4))
    assert list(speakers(folder, corpus="respin").values()) == ["10012_1", "10012_2", "10013", "10012_1"]


def test_respin_without_its_metadata(recorded, speakers):
    folder, _ = respin(recorded, [("10012", ""), ("10012", ""), ("10013", "")])
    assert list(speakers(folder, corpus="respin").values()) == ["D1_10012", "D1_10012", "D1_10013"]


@pytest.mark.parametrize(
    "corpus, voices",
    [
        (
            "syspin",
            {
                "Telugu_Male_Spk001": [
                    "IISc_SYSPINProject_Telugu_Male_Spk001_HC/wav/IISc_SYSPINProject_te_m_AGRI_00001.wav",
                    "IISc_SYSPINProject_Telugu_Male_Spk001_NHC/wav/IISc_SYSPINProject_te_m_AGRI_00002.wav",
                ],
                "Telugu_Female_Spk001": [
                    "IISc_SYSPINProject_Telugu_Female_Spk001_HC/wav/IISc_SYSPINProject_te_f_BOOK_00003.wav"
                ],
            },
        ),
        (
            "kathbath",
            {
                "594": ["telugu/train/audio/844424931537866-594-f.m4a", "telugu/valid/audio/844424933537866-594-f.m4a"],
                "61": ["telugu/train/audio/844424931537867-61-m.m4a"],
            },
        ),
        (
            "openslr",
            {
                "tef_00123": ["te_in_female/tef_00123_00011234567.wav", "te_in_female/tef_00123_00011234568.wav"],
                "tem_00123": ["te_in_male/tem_00123_00011234569.wav"],
                "bur_7447": ["bur_7447_7867396947.wav"],  # 80
                "clf_02121": ["clf_02121_00411238283.wav"],  # 71
            },
        ),
        (
            "shrutilipi",
            {
                "AIR_1": ["telugu/AIR_1/sent_1.wav", "telugu/AIR_1/sent_2.wav"],
                "AIR_2": ["telugu/AIR_2/sent_1.wav"],
            },
        ),
        (
            "indictts",
            {
                "telugu_male": ["telugu_male/wav/train_telugumale_00001.wav"],
                "telugufemale": ["wavs/train_telugufemale_00001.wav"],
            },
        ),
    ],
)
def test_speakers_by_the_layout_of_a_corpus(recorded, speakers, corpus, voices):
    folder = recorded(*(path for paths in voices.values() for path in paths))
    assert speakers(folder, corpus=corpus) == {path: voice for voice, paths in voices.items() for path in paths}


def test_common_voice_by_its_tables(recorded, speakers):
    folder = recorded(*(f"te/clips/common_voice_te_{number}.mp3" for number in range(4)))
    head = "client_id\tpath\tsentence\tup_votes"
    rows = [("aa", 0, 'ఆమె "అవును'), ("aa", 1, "రా"), ("bb", 2, "పో")]
    table = [head, *(f"{who}\tcommon_voice_te_{number}.mp3\t{text}\t2" for who, number, text in rows)]
    (folder / "te" / "validated.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
    assert list(speakers(folder, corpus="common_voice").values()) == ["aa", "aa", "bb"]  # and not the fourth
    assert json.loads((files.METRICS / "discover.json").read_text())["data"]["speakers"] == 2


def test_common_voice_without_its_tables_says_what_is_missing(recorded, speakers):
    with pytest.raises(StageError, match=r"validated\.tsv .* names the speakers"):
        speakers(recorded("clips/1.mp3"), corpus="common_voice")


def test_fleurs_keeps_sentences_together_and_says_what_that_means(recorded, speakers, capsys):
    folder = recorded(*(f"te_in/audio/train/{number}.wav" for number in range(3)))
    lines = [f"{1500 + number // 2}\t{number}.wav\tX\tx\tx |\t6400\tFEMALE\n" for number in range(3)]
    (folder / "te_in" / "train.tsv").write_text("".join(lines))
    assert list(speakers(folder, corpus="fleurs").values()) == ["1500", "1500", "1501"]
    assert "warning: FLEURS names no speakers" in capsys.readouterr().out


@pytest.mark.parametrize(
    "recordings, speakers, words",
    [(30, 30, "30 speakers for 30 recordings"), (30, 28, "28 speakers"), (30, 2, "only 2 speakers"), (30, 10, None)],
)
def test_a_doubtful_number_of_speakers(recordings, speakers, words):
    sentence = doubt(recordings, speakers)
    assert sentence is None if words is None else (words in sentence and "data.manifest" in sentence)


def test_a_doubtful_number_of_speakers_is_said(recorded, speakers, capsys):
    speakers(recorded(*(f"tef_00123_{number}.wav" for number in range(12))))
    assert "warning: 12 speakers for 12 recordings" in capsys.readouterr().out
