"""Packs a language runtime of this machine, one SDK and one program into a root file system, so that an image can be made of it
without pulling anything. The program is /app/NAME and runs as `python`, `node` or `java`, which are where images have them.

Arguments: the archive to write; `python`, `node` or `java`; where the SDK is (`-` for Python: what this interpreter has); the
programs.
"""

import glob
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

# Half of Python's library, and nothing that a module needs.
LEFT_OUT = {"site-packages", "dist-packages", "test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "__pycache__"}
NODE_PACKAGES = ["azure-iot-device", "azure-iot-device-mqtt"]


class Image:
    def __init__(self, path):
        self.archive = tarfile.open(path, "w", dereference=True)
        self.there = set()
        self.binaries = []

    def put(self, source, inside=None):
        """One file, at its own place or another; whatever it links to."""
        source = os.path.realpath(source)
        inside = Path(os.path.normpath(inside or source))
        if inside in self.there or not os.path.isfile(source):
            return
        self.folders(inside.parent)
        self.there.add(inside)
        self.archive.add(source, str(inside).lstrip("/"), recursive=False, filter=readable)
        if os.access(source, os.X_OK) or ".so" in inside.name or inside.suffix == ".node":
            self.binaries.append(source)

    def folders(self, folder, mode=0o755):
        for folder in reversed([folder, *folder.parents][:-1]):
            if folder not in self.there:
                self.there.add(folder)
                entry = tarfile.TarInfo(str(folder).lstrip("/"))
                entry.type, entry.mode = tarfile.DIRTYPE, mode
                self.archive.addfile(entry)

    def tree(self, source, inside=None, left_out=frozenset()):
        source = Path(source)
        for folder, folders, files in os.walk(source, followlinks=True):
            folders[:] = [name for name in folders if name not in left_out]
            for name in files:
                path = Path(folder, name)
                if name.startswith("_tkinter"):
                    continue  # half a desktop comes with it
                self.put(path, Path(inside or source, path.relative_to(source)))

    def link(self, inside, target):
        self.folders(Path(inside).parent)
        entry = tarfile.TarInfo(inside.lstrip("/"))
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self.archive.addfile(entry)

    def libraries(self):
        """What the dynamic linker loads for all that is here."""
        said = subprocess.run(["ldd", *self.binaries], capture_output=True, text=True).stdout
        for path in sorted(set(re.findall(r"^\t(?:\S+ => )?(/\S+) \(0x", said, re.MULTILINE))):
            self.put(path, path)
            # Older C libraries look names up with these, and load them by name.
            for other in ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"):
                self.put(Path(path).with_name(other), Path(path).with_name(other))

    def close(self):
        self.libraries()
        self.folders(Path("/tmp"), 0o1777)
        self.archive.close()


def readable(entry):
    """As in an image: everybody's to read, root's to write."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode |= 0o444
    return entry


def python(image, _):
    image.put(sys.executable)
    image.link("/usr/local/bin/python", os.path.realpath(sys.executable))
    library = sysconfig.get_path("stdlib")
    image.tree(library, library, LEFT_OUT | {name for name in os.listdir(library) if name.startswith("config-")})
    for name in sorted(distributions("azure-iot-device")):
        for file in importlib.metadata.files(name) or []:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                image.put(file.locate(), Path("/app/site", file))


def distributions(name, known=None):
    """A package, and what it needs here."""
    known = set() if known is None else known
    if name not in known:
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            return known  # for another platform, or an extra that nobody asked for
        known.add(name)
        for need in needs:
            if "extra ==" not in need:
                distributions(re.match(r"[\w.-]+", need)[0], known)
    return known


def node(image, folder):
    image.put(shutil.which("node"), "/usr/local/bin/node")
    root = Path(folder)
    todo, known = [(root, name) for name in NODE_PACKAGES], set()
    while todo:
        asking, name = todo.pop()
        places = [place / "node_modules" / name for place in [asking, *asking.parents] if place.is_relative_to(root)]
        package = next((place for place in places if place.is_dir()), None)
        if package is None or package in known:
            continue
        known.add(package)
        image.tree(package, Path("/app", package.relative_to(root)))
        described = json.loads((package / "package.json").read_text())
        todo += [(package, needed) for needed in described.get("dependencies", {})]


def java(image, jars):
    home = Path(os.path.realpath(shutil.which("javac"))).parent.parent
    for part in ("bin/java", "release"):
        image.put(home / part, home / part)
    for part in ("lib", "conf"):
        image.tree(home / part, home / part, {"src.zip"})
    image.link("/usr/local/bin/java", str(home / "bin/java"))
    image.tree(jars, "/app/jars")
    # The launcher finds its own libraries beside itself.
    image.binaries += glob.glob(str(home / "lib/**/*.so"), recursive=True)


archive, language, where, *programs = sys.argv[1:]
image = Image(archive)
{"python": python, "node": node, "java": java}[language](image, where)
for program in programs:
    image.put(program, Path("/app", os.path.basename(program)))
image.close()
