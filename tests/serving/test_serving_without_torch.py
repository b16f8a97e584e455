"""A server in a process that cannot import torch answers with every kind of output."""

import http.client
import io
import signal
import subprocess
import sys

import numpy as np
from helpers.infer import noise
from helpers.nearest_colour import NearestColour
from helpers.without_torch import TESTS
from PIL import Image


def test_every_output_comes_without_torch() -> None:
    command = [sys.executable, "-m", "helpers.nearest_colour", "serve"]
    process = subprocess.Popen(command, cwd=TESTS, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "serving at " in line:
                break
        assert "serving at http://127.0.0.1:" in lines[-1], lines
        port = int(lines[-1].split(":")[2].split()[0])
        image, file = noise(40, 50), io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        answers = {}
        for output in ("class_map", "overlay", "confidence", "rle", "all"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", f"/v1/segment?output={output}", file.getvalue())
            response = connection.getresponse()
            answers[output] = response.status, response.read()
            connection.close()
        assert {status for status, _ in answers.values()} == {200}, answers
        with Image.open(io.BytesIO(answers["class_map"][1])) as served:
            assert (np.asarray(served) == NearestColour().class_maps(image[None])[0]).all()
    finally:
        process.send_signal(signal.SIGTERM)
        process.stderr.close()
        process.wait(60)
