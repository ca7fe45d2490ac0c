"""Make `dvc plots` work offline: `python -m pipeline.offline_plots`, which `make install` runs.

DVC's own page takes Vega from the network. This writes a page template that holds Vega itself, from the vl-convert
package, and tells DVC of this machine (`.dvc/config.local`) to use it.
"""

import subprocess
import sys

import vl_convert

from pipeline import files

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
    vega = vl_convert.javascript_bundle().replace("</script", "<\\/script")
    files.write_text(template, PAGE.format(vega=vega))
    subprocess.run([sys.executable, "-m", "dvc", "config", "--local", "plots.html_template", str(template)], check=True)


if __name__ == "__main__":
    main()
