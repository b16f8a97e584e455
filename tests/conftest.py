"""What every test shares. The environment is settled first, before anything imports torch or a hub client."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
if os.environ.get("GLOBALCONV_DATA"):  # tests change directory, so a relative path would stop working
    os.environ["GLOBALCONV_DATA"] = str(Path(os.environ["GLOBALCONV_DATA"]).resolve())

import pytest
from hypothesis import HealthCheck, settings

slow_is_fine = [HealthCheck.too_slow]
settings.register_profile("quick", deadline=None, max_examples=25, derandomize=True, suppress_health_check=slow_is_fine)
settings.register_profile("thorough", deadline=None, max_examples=1000, suppress_health_check=slow_is_fine)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that holds CamVid/, MSRC21/ and voc-sample/; skips the test where it is absent."""
    folder = os.environ.get("GLOBALCONV_DATA")
    if not folder:
        pytest.skip("GLOBALCONV_DATA is not set: no real images here")
    if not Path(folder).is_dir():
        pytest.skip(f"GLOBALCONV_DATA={folder} is not a folder: no real images here")
    return Path(folder)
