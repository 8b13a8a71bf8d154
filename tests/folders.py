"""Folders of data files, as a cache has them, and what a server was asked for."""


def fill(folder, files):
    """Write files, ``.gz`` bytes by name, into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, packed in files.items():
        (folder / f"{name}.gz").write_bytes(packed)


def asked(server):
    return [p.rpartition("/")[2].removesuffix(".gz") for p in server.requests]


def contents(folder):
    return {
        path.name.removesuffix(".gz"): path.read_bytes()
        for path in folder.iterdir()
        if path.name != ".lock"
    }
