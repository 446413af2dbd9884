#!/usr/bin/env python3
"""Turns files into one C file: the parts of a page that live inside the program.

usage: embed.py OUTPUT.c TABLE FILE...

Each file becomes an entry of TABLE (src/base/asset.h) under its base name, with the CSP source
'sha256-...' of its bytes, so that a page may allow exactly its own scripts and nothing else.
"""
import base64
import hashlib
import pathlib
import re
import sys


def read(path):
    data = path.read_bytes().replace(b"\r\n", b"\n")
    if path.suffix == ".js":
        # No network means no source maps either; and nothing may end the <script> it will stand in.
        data = re.sub(rb"\n//# sourceMappingURL=\S*", b"", data).rstrip(b"\n")
        if re.search(rb"</script|<!--", data, re.IGNORECASE):
            data = re.sub(rb"<!--", rb"<\\u0021--", data)
        if re.search(rb"</script", data, re.IGNORECASE):
            sys.exit(f"{path}: contains </script and cannot stand inside a page")
    data.decode("utf-8")
    return data


def main():
    output, table, paths = pathlib.Path(sys.argv[1]), sys.argv[2], [pathlib.Path(p) for p in sys.argv[3:]]
    entries = []
    with output.open("w", encoding="ascii") as out:
        out.write('#include "base/asset.h"\n\n')
        for i, path in enumerate(paths):
            data = read(path)
            digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
            out.write(f"static const unsigned char bytes_{i}[] = {{\n")
            for at in range(0, len(data), 64):
                out.write(",".join(map(str, data[at:at + 64])) + ",\n")
            out.write("0};\n")
            entries.append(f'    {{"{path.name}", bytes_{i}, {len(data)}, "sha256-{digest}"}},\n')
        out.write(f"const qn_asset {table}[] = {{\n" + "".join(entries) + "    {0},\n};\n")


main()
