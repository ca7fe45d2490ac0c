"""Public corpora by name (`data.corpus`): where each one says who speaks.

`pattern` captures the speaker in the path of a recording. `manifests` are files below the root that name the speakers instead;
`columns` are theirs where they have no header. `column` is the speaker's in parquet files, where it is not a usual one.
"""

import re
from typing import NamedTuple

from pipeline.common.sections import CorpusName

FEW = 5  # speakers
NEARLY = 0.9  # speakers for each recording
SEVERAL = 10  # recordings, from which it matters


class Layout(NamedTuple):
    pattern: str | None = None
    manifests: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    column: str | None = None
    note: str | None = None  # what the splits mean where the corpus does not name its speakers


LAYOUTS: dict[CorpusName, Layout] = {
    "respin": Layout(r"(?:^|/)IISc_RESPIN_[a-z]+_(D\d+_[^_/]+)_", ("meta_*.json",)),
    "syspin": Layout(r"IISc_SYSPINProject_([A-Za-z]+_(?:Fem|M)ale_Spk\d+)|IISc_SYSPINProject_([a-z]+_[mf])_"),
    "kathbath": Layout(r"(?:^|/)\d+-(\d+)-[mf]\.\w+$"),
    "openslr": Layout(r"(?:^|/)([a-z]+_\d+)_\d+\.\w+$"),  # 63-66 and 69-80
    "common_voice": Layout(None, ("validated.tsv", "train.tsv", "dev.tsv", "test.tsv", "other.tsv")),
    "fleurs": Layout(
        None,
        ("train.tsv", "dev.tsv", "test.tsv"),
        ("speaker", "path", "raw", "text", "characters", "samples", "gender"),
        column="id",
        note="FLEURS names no speakers: recordings of one sentence are kept together, and a voice may be in several splits",
    ),
    "shrutilipi": Layout(
        r"([^/]+)/sent_\d+\.\w+$",
        note="Shrutilipi names no speakers: bulletins are kept together, and a newsreader may be in several splits",
    ),
    "indicvoices": Layout(),  # parquet with `speaker_id`
    "indictts": Layout(r"(?:^|/|_)([a-z]+_?(?:fe)?male)(?=[_/])", column="gender"),
}


def speaker(path: str, pattern: str) -> str:
    """The first group of `pattern` that matches in a relative path; the path itself if the pattern does not match."""
    match = re.search(pattern, path)
    groups = [group for group in match.groups() if group] if match else []
    return groups[0] if groups else path


def note(corpus: CorpusName | None) -> str | None:
    """What the splits mean, if the corpus does not name its speakers."""
    return LAYOUTS[corpus].note if corpus else None


def doubt(recordings: int, speakers: int) -> str | None:
    """A sentence if the number of speakers makes it likely that they are not told apart; else None."""
    remedy = "name the corpus with data.corpus, a list with data.manifest, or a pattern with data.speaker_pattern"
    if recordings >= SEVERAL and speakers >= NEARLY * recordings:
        what = f"{speakers} speakers for {recordings} recordings: if a voice has several, it may be in training and test at once"
    elif 0 < speakers < FEW:
        what = f"only {speakers} speakers in {recordings} recordings: the splits hold one or two voices each, or none is known"
    else:
        return None
    return f"{what}; {remedy}"
