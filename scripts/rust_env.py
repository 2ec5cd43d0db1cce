"""Print, for a shell to evaluate, the environment in which the Rust tests embed this interpreter.

    eval "$(.venv/bin/python scripts/rust_env.py)"
    cargo test $packages

PYO3_PYTHON names the interpreter to link, LD_LIBRARY_PATH its libpython, PYTHONPATH the packages
of its virtual environment. `packages` selects the workspace, without the crates that embed Python
where this interpreter has no libpython to link.
"""

import os
import shlex
import sys
import sysconfig

EMBEDDING = ("eventlet-core", "eventlet-greenlet")


def libpython_dir():
    """Return the folder of the library that `-lpython3.X` finds, or None."""
    name = sysconfig.get_config_var("LDLIBRARY")
    for variable in ("LIBDIR", "LIBPL"):
        folder = sysconfig.get_config_var(variable)
        if name and folder and os.path.exists(os.path.join(folder, name)):
            return folder
    return None


def prepended(variable, folder):
    return os.pathsep.join(filter(None, (folder, os.environ.get(variable))))


def main():
    folder = libpython_dir()
    packages = ["--workspace"]
    if folder is None:
        print("no libpython to link: skipping", *EMBEDDING, file=sys.stderr)
        for package in EMBEDDING:
            packages += ["--exclude", package]
    else:
        print("export LD_LIBRARY_PATH=" + shlex.quote(prepended("LD_LIBRARY_PATH", folder)))
    print("export PYO3_PYTHON=" + shlex.quote(sys.executable))
    site = sysconfig.get_path("purelib")
    print("export PYTHONPATH=" + shlex.quote(prepended("PYTHONPATH", site)))
    print("packages=" + shlex.quote(" ".join(packages)))


if __name__ == "__main__":
    main()
