#!/usr/bin/env sh
# pandas 3.1.1: a column of a CSV file that is read with dtype "category" has numbers as categories where
# all texts look like numbers, so that the names "01" and "1" of two devices become one. In pandas 2.2.3
# the categories were the texts. With dtype str, and the conversion to categories afterwards, they are
# the texts in both.
#
# Seen: "2.2.3 ['01', '1'] ['01', '1']" and "3.1.1 [1, 1] ['01', '1']".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/look.py" <<'PYTHON'
import io

import pandas as pd

text = "device\n01\n1\n"
direct = pd.read_csv(io.StringIO(text), dtype={"device": "category"})["device"]
after = pd.read_csv(io.StringIO(text), dtype={"device": str})["device"].astype("category")
print(pd.__version__, direct.tolist(), after.tolist())
PYTHON
for version in 2.2.3 3.1.1; do
    python3 -m venv "$work/env-$version"
    "$work/env-$version/bin/pip" install --quiet "pandas==$version" numpy==2.2.6
    "$work/env-$version/bin/python" "$work/look.py"
done > "$work/seen"
cat "$work/seen"
printf "2.2.3 ['01', '1'] ['01', '1']\n3.1.1 [1, 1] ['01', '1']\n" | cmp -s - "$work/seen" || {
    echo "the behaviour has changed" >&2
    exit 1
}
