"""A client of registries that is not ours: PyPI `oras`.

    oras.py pull HOST/NAME:TAG FOLDER
    oras.py push HOST/NAME:TAG COMPONENT

Prints one JSON line: what it pulled, or the manifest that it pushed. Pushes as `wkg` lays a component out.
"""

import hashlib
import json
import sys
from pathlib import Path

# Not this file, which has the same name.
sys.path.pop(0)
from oras.client import OrasClient  # noqa: E402

command, target, argument = sys.argv[1:]
client = OrasClient(hostname=target.partition("/")[0], insecure=True)
if command == "pull":
    print(json.dumps(client.pull(target=target, outdir=argument)))
else:
    component = Path(argument)
    digest = f"sha256:{hashlib.sha256(component.read_bytes()).hexdigest()}"
    config = component.with_name("oras-config.json")
    config.write_text(json.dumps({"architecture": "wasm", "os": "wasip2", "layerDigests": [digest]}))
    client.push(
        target=target,
        files=[f"{component}:application/wasm"],
        manifest_config=f"{config}:application/vnd.wasm.config.v0+json",
        disable_path_validation=True,
    )
    print(json.dumps(client.get_manifest(target)))
