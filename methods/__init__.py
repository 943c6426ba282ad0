"""One file a method: `methods/lora_ft.py` is `--method lora-ft`."""
