"""Make `dvc plots` work offline: `python -m pipeline.results.offline_plots`, which `make install` runs.

DVC's own page loads Vega from the network. This writes a page template that contains Vega, from the vl-convert package, and
sets it in DVC's configuration of this machine (`.dvc/config.local`).
"""

import subprocess
import sys

import vl_convert

from pipeline.common import files

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>DVC plots</title>
<script>{vega}</script>
</head>
<body>
{{plot_divs}}
</body>
</html>
"""


def main() -> None:
    template = files.work_folder("plots") / "page.html"
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # the stubs lack the default
    vega = bundle.replace("</script", "<\\/script")
    files.write_text(template, PAGE.format(vega=vega))
    subprocess.run([sys.executable, "-m", "dvc", "config", "--local", "plots.html_template", str(template)], check=True)


if __name__ == "__main__":
    main()
