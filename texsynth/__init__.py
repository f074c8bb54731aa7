"""Texture synthesis and style transfer, offline from the first minute."""

__version__: str


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("texsynth")
    except PackageNotFoundError:  # a source checkout that was never installed
        return "0+source"
