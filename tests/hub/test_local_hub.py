"""The test hub is one for the `datasets` library too, with the layouts that it must meet."""

import os
import subprocess
import sys

import pytest
from preparing import hub_source

CODE = """
import datasets
found = datasets.load_dataset("zoheb/sketch-scene", split="train")
print(len(found), sorted(found.features), found[0]["image"].size != (0, 0))
files = {"train": "hf://datasets/zoheb/sketch-scene@%s/data/*.parquet"}
print(len(datasets.load_dataset("parquet", data_files=files, split="train")))
try:
    datasets.load_dataset("nlphuji/flickr30k")
except RuntimeError as error:
    print(error)
"""


@pytest.mark.slow
def test_the_datasets_library_reads_it_and_refuses_scripts(hub, tmp_path) -> None:
    hub.want("zoheb/sketch-scene", "nlphuji/flickr30k")
    done = subprocess.run(
        [sys.executable, "-c", CODE % hub_source("sketch").revision],
        env={**os.environ, "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, third = done.stdout.splitlines()
    assert first == "25 ['image', 'text'] True"
    assert second == "25"
    assert "scripts are no longer supported" in third
