"""Where packages come from on this machine: pip's own settings, and nothing else of them, for pip and for uv.

An environment is made in isolation: no variable and no configuration file may send packages elsewhere, add some, or
put others on Python's path. But an index that pip was told of is the only one that may be reachable.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

SETTINGS = (
    *("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "keyring-provider"),
    *("cert", "client-cert", "proxy", "timeout", "default-timeout", "retries"),
    *("cache-dir", "no-cache-dir", "prefer-binary", "only-binary", "no-binary"),
)
"""The settings of pip that count."""
UV_VARIABLES = (
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX", "UV_CONFIG_FILE"),
    *("UV_INSECURE_HOST", "UV_KEYRING_PROVIDER", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_HTTP_", "UV_REQUEST_TIMEOUT"),
    *("UV_OFFLINE", "UV_CACHE_DIR", "UV_NO_CACHE", "UV_LINK_MODE", "UV_CONCURRENT_"),
)
"""How the variables of uv begin that count."""
_PLACES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX", "UV_CONFIG_FILE")
_REDIRECTING = ("PYTHON", "PIP_", "UV_", "VIRTUAL_ENV", "CONDA_", "__PYVENV_LAUNCHER__")


def tool_variables() -> dict[str, str]:
    """The environment variables that pip and uv are run with."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_REDIRECTING)}
    settings = pip_settings()
    return {
        **kept,
        **_for_uv(settings),
        **{f"PIP_{name.replace('-', '_').upper()}": value for name, value in settings.items()},
        "PIP_CONFIG_FILE": os.devnull,  # what counts of the files is in the variables above
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }


def pip_settings() -> dict[str, str]:
    """What pip was told by its files and variables, as far as it counts."""
    found: dict[str, str] = {}
    for path in _files():
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself says what is wrong with its file, when it is used
        for section in ("global", "install"):
            if parser.has_section(section):
                found |= {name.replace("_", "-"): " ".join(text.split()) for name, text in parser.items(section)}
    for name, text in os.environ.items():
        if name.startswith("PIP_") and text:
            found[name.removeprefix("PIP_").replace("_", "-").lower()] = text
    return {name: found[name] for name in SETTINGS if name in found}


def _files() -> Iterator[Path]:
    """The configuration files of pip, what is read later being stronger."""
    named = os.environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return
    if os.name == "nt":
        yield Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / "pip" / "pip.ini"
        yield Path.home() / "pip" / "pip.ini"
        yield Path(os.environ.get("APPDATA", Path.home())) / "pip" / "pip.ini"
        yield Path(sys.prefix) / "pip.ini"
    else:
        if sys.platform == "darwin":
            yield Path("/Library/Application Support/pip/pip.conf")
        for folder in reversed(os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")):
            yield Path(folder) / "pip" / "pip.conf"
        yield Path("/etc/pip.conf")
        yield Path.home() / ".pip" / "pip.conf"
        yield Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "pip" / "pip.conf"
        if sys.platform == "darwin":
            yield Path.home() / "Library" / "Application Support" / "pip" / "pip.conf"
        yield Path(sys.prefix) / "pip.conf"
    if named:
        yield Path(named)


def _for_uv(settings: Mapping[str, str]) -> dict[str, str]:
    """The settings of uv; where it has none about places, those of pip."""
    own = {name: value for name, value in os.environ.items() if name.startswith(UV_VARIABLES)}
    if any(name in own for name in _PLACES) or _uv_file().exists():
        return own
    said = {
        "UV_DEFAULT_INDEX": settings.get("index-url"),
        "UV_INDEX": settings.get("extra-index-url"),
        "UV_FIND_LINKS": ",".join(settings.get("find-links", "").split()),
        "UV_NO_INDEX": settings.get("no-index"),
        "UV_INSECURE_HOST": settings.get("trusted-host"),
    }
    if said["UV_INDEX"]:
        said["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip does, for which these indexes were named
    return {**{name: value for name, value in said.items() if value}, **own}


def _uv_file() -> Path:
    if os.name == "nt":
        return Path(os.environ.get("APPDATA", Path.home())) / "uv" / "uv.toml"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "uv" / "uv.toml"
