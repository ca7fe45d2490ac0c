import re

from pipeline.report.charts import Series, chart


def test_a_chart_leaves_out_what_is_undefined():
    nan = float("nan")
    drawn = chart([Series("one", [(1, 2), (2, nan), (3, 4), (4, 3)], marks=True)], "x", "y")
    (line,) = re.findall(r'class="line c0" d="([^"]*)"', drawn)
    assert line.count("M") == 2 and line.count("L") == 1 and drawn.count("<circle") == 3
    assert chart([Series("none", [(1, nan)])], "x", "y") == ""
    assert "nan" not in chart([Series("one point", [(1, 1)], marks=True)], "x", "y", log_x=True)
