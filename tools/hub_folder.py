"""Writes the tokens that come with the package as a folder for transformers, with their card.

    python -m tools.hub_folder FOLDER

The stage `export` does so with the tokens that it has trained.
"""

import argparse
import sys
from pathlib import Path

from pipeline.common import files
from telucodec.codec import SHIPPED
from telucodec.networks.hub import folder as hub_folder

TOKENS = SHIPPED / "tokens"
METADATA = """---
library_name: transformers
pipeline_tag: audio-to-audio
metrics: [snr, si_sdr, stoi]
"""
USE = """## Use
```python
from transformers import AutoFeatureExtractor, AutoModel

model = AutoModel.from_pretrained("FOLDER", trust_remote_code=True)
extractor = AutoFeatureExtractor.from_pretrained("FOLDER", trust_remote_code=True)
```

"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.hub_folder", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="that is to be made")
    target = parser.parse_args().folder
    if target.exists():
        sys.exit(f"error: {target} exists already; name another folder, or remove it")
    card = (TOKENS / "README.md").read_text(encoding="utf-8")
    card = card.replace("---\n", METADATA, 1).replace("## Use\n", USE, 1)
    try:
        with files.whole_folder(target) as folder:
            hub_folder.write(TOKENS, folder)
            (folder / "README.md").write_text(card, encoding="utf-8")
    except OSError as error:
        sys.exit(f"error: {error.filename or target}: {error.strerror}")
    size = sum(path.stat().st_size for path in target.iterdir()) / 1e6
    print(f'{target}: {size:.1f} MB, for AutoModel.from_pretrained("{target}", trust_remote_code=True)')


if __name__ == "__main__":
    main()
