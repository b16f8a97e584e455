"""Which kernel the objects of MSRC21 ask for: `globalconv advise` on untrained networks, as a results file.

GLOBALCONV_DATA=... python benchmarks/advise.py
"""

import os
from pathlib import Path
from typing import Any

from common import RESULTS, hardware, print_rows, write_report

from globalconv.jobs.receptive_field import advise


def main() -> None:
    advice = advise(Path(os.environ["GLOBALCONV_DATA"]) / "MSRC21")
    values = advice.to_json()
    rows: list[dict[str, Any]] = [
        {
            "network": network.name,
            "field": round(network.side),
            "holds the objects of": f"{network.held:.1%} of pixels",
            "multiply_adds": f"{network.multiply_adds / 1e9:.2f} G",
            "weights": f"{network.weights / 1e6:.2f} M",
        }
        for network in advice.networks
    ]
    print_rows("fields against objects", rows)
    facts = {key: values[key] for key in ("objects", "label_maps", "images", "width", "height")}
    facts["side of the object that a pixel lies in, percentiles"] = values["object_side_percentiles"]
    report = {
        "command": "python benchmarks/advise.py",
        "hardware": hardware(),
        "settings": {**facts, "trained": values["trained"]},
        "tables": {"effective fields of untrained networks against the objects of MSRC21": rows},
    }
    write_report(RESULTS / "advise-msrc21.json", report)


if __name__ == "__main__":
    main()
