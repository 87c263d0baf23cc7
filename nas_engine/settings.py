"""The environment and `.env`, read in one place."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    SettingsConfigDict,
)

from nas_engine.private import take_back
from nas_engine.service.redaction import Redaction
from nas_engine.workspace import PROJECT, Workspace

_log = logging.getLogger(__name__)


class SettingsError(ValueError):
    """A setting of the environment that cannot be used; the message says which and why."""


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address such as https://openrouter.ai/api/v1 is needed")
    return text


def _secret_address(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().strip()
    return SecretStr(_address(text) if text else "")


def _unless_empty(value: Any) -> Any:
    return None if value == "" else value


def _key(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("it holds a space or a sign that no key has")
    return SecretStr(text)


Key = Annotated[SecretStr, AfterValidator(_key)]
Address = Annotated[str, AfterValidator(_address)]
SecretAddress = Annotated[SecretStr, AfterValidator(_secret_address)]
OwnAddress = Annotated[Address | None, BeforeValidator(_unless_empty)]
Temperature = Annotated[Annotated[float, Field(ge=0, le=2)] | None, BeforeValidator(_unless_empty)]
Price = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


RoleName = Literal["planner", "evaluator", "chat", "replay"]


@dataclass(frozen=True)
class Role:
    """Whom a role asks: a model behind an address, at a price in US dollars per million tokens."""

    name: RoleName
    model: str
    base_url: str
    key: SecretStr
    temperature: float | None  # None: the service's own
    usd_per_million_in: float
    usd_per_million_out: float

    @property
    def public_url(self) -> str:
        """The address without what may be secret."""
        return public_address(self.base_url)

    @property
    def is_openrouter(self) -> bool:
        """Whether the service is OpenRouter, which names its prices when asked."""
        host = urlsplit(self.base_url).hostname or ""
        return host == "openrouter.ai" or host.endswith(".openrouter.ai")

    def price(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the price of a call in US dollars."""
        return (
            prompt_tokens * self.usd_per_million_in + completion_tokens * self.usd_per_million_out
        ) / 1e6


class Settings(BaseSettings):
    """Settings of the machine and the person, as opposed to those of a search."""

    model_config = SettingsConfigDict(env_file=PROJECT / ".env", extra="ignore")

    openrouter_api_key: Key = SecretStr("")
    openai_base_url: Address = "https://openrouter.ai/api/v1"
    planner_model: str = "anthropic/claude-sonnet-4.5"
    planner_base_url: OwnAddress = None
    planner_api_key: Key = SecretStr("")
    planner_temperature: Temperature = None
    planner_usd_per_million_in: Price = 3.0
    planner_usd_per_million_out: Price = 15.0
    evaluator_model: str = "anthropic/claude-sonnet-4.5"
    evaluator_base_url: OwnAddress = None
    evaluator_api_key: Key = SecretStr("")
    evaluator_temperature: Temperature = None
    evaluator_usd_per_million_in: Price = 3.0
    evaluator_usd_per_million_out: Price = 15.0
    llm_max_tokens: int = Field(4096, ge=16, le=1_000_000)
    llm_deadline_seconds: float = Field(90.0, gt=0, le=3600)
    llm_retries: int = Field(2, ge=0, le=10)
    llm_retry_seconds: float = Field(1.0, ge=0, le=60)
    verbose: bool = False
    debug: bool = False
    nas_db: Path = PROJECT / "workspace" / "nas.db"
    nas_data_dirs: str = Field("", description="Directories with data files, as in PATH")
    nas_rules: str = Field("", description="The user's own rules, as package.module:function")
    nas_usd_per_hour: Price = Field(0.0, description="US dollars of an hour of training here")
    nas_webhook: SecretAddress = Field(
        SecretStr(""), description="Address that is told when a proposal waits"
    )
    nas_dashboard_url: OwnAddress = Field(None, description="Of the dashboard, for links")
    nas_operators: str = Field("", description="E-mail addresses of who may do everything")
    nas_viewers: str = Field("", description="Of who may look; empty: all who can log in")
    nas_without_login: bool = Field(
        False, description="Whether other computers than this one are served without a login"
    )

    @property
    def has_key(self) -> bool:
        """Whether a language model can be asked."""
        return bool(self.role("planner").key.get_secret_value())

    def role(self, name: RoleName) -> Role:
        """Return whom a role asks; what is not set for it alone is common to both.

        Who answers in the chat and in replays is the planner's model.
        """
        whose = "evaluator" if name == "evaluator" else "planner"
        own: dict[str, Any] = {
            field: getattr(self, f"{whose}_{field}")
            for field in ("model", "temperature", "usd_per_million_in", "usd_per_million_out")
        }
        key: SecretStr = getattr(self, f"{whose}_api_key")
        return Role(
            name=name,
            base_url=getattr(self, f"{whose}_base_url") or self.openai_base_url,
            key=key if key.get_secret_value() else self.openrouter_api_key,
            **own,
        )

    def secrets(self) -> list[str]:
        """Return every text that must not be kept or shown: keys, passwords, the webhook."""
        roles = [self.role("planner"), self.role("evaluator")]
        keys = [role.key.get_secret_value() for role in roles]
        in_addresses = [text for role in roles for text in _secrets_of(role.base_url)]
        webhook = self.nas_webhook.get_secret_value()
        own = [self.openrouter_api_key.get_secret_value(), webhook, urlsplit(webhook).path]
        return [*keys, *own, *in_addresses]

    @property
    def workspace(self) -> Workspace:
        """The workspace of the database in use."""
        return Workspace(self.nas_db.expanduser().absolute())

    @property
    def data_directories(self) -> list[Path]:
        """The directories in which data files are looked for first."""
        listed = self.nas_data_dirs.split(os.pathsep)
        return [Path(directory).expanduser() for directory in listed if directory]

    def worker_environment(self) -> dict[str, str]:
        """Return the environment of a worker: nothing that could hold a secret, or does."""
        redacted = Redaction(self.secrets())
        harmless = {
            name: value
            for name, value in without_secrets(os.environ).items()
            if redacted(value) == value
        }
        return harmless | {"NAS_DATA_DIRS": self.nas_data_dirs}


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what could hold a secret, by its name."""
    return {name: value for name, value in environment.items() if not _may_be_secret(name)}


def _may_be_secret(name: str) -> bool:
    words = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "WEBHOOK", "SIGNATURE")
    return any(word in name.upper() for word in words)


def _secrets_of(address: str) -> list[str]:
    """Return user, password and keys in the query of an address, as they stand and decoded."""
    parts = urlsplit(address)
    named = [pair.partition("=")[::2] for pair in parts.query.split("&")]
    written = [parts.username or "", parts.password or ""]
    written += [value for name, value in named if _may_be_secret(name)]
    return [*written, *map(unquote, written)]


def public_address(address: str) -> str:
    """Return an address without user, password, query and fragment."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


Origin = Literal["environment", ".env", "default"]


def origins() -> dict[str, Origin]:
    """Return where the value of each field of `Settings` comes from."""
    environment, file = EnvSettingsSource(Settings)(), DotEnvSettingsSource(Settings)()
    return {
        name: "environment" if name in environment else ".env" if name in file else "default"
        for name in Settings.model_fields
    }


def load_settings() -> Settings:
    """Return the settings of the environment; it overrules `.env`.

    Raises:
        SettingsError: a value has the wrong form, or others can read `.env`.
    """
    given = tuple((name, os.environ.get(name.upper())) for name in Settings.model_fields)
    file = Settings.model_config.get("env_file")
    return _load(given, _kept_private(Path(str(file))) if file else 0)


def _kept_private(file: Path) -> int:
    """Take from others what they may do with `.env`, and return when it was last changed.

    0 where there is none.

    Raises:
        SettingsError: others can read it, and this user cannot change that.
    """
    try:
        if take_back(file):
            _log.warning("Others on this machine could read %s; now its owner alone can.", file)
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
    except OSError:
        raise SettingsError(
            f"Others on this machine can read {file}, and this user cannot change that: have its "
            f"owner run 'chmod 600 {file}', or remove it and set what it holds in the environment."
        ) from None


@lru_cache(maxsize=4)  # a page asks several times in each of its runs, and reading takes 4 ms
def _load(given: tuple[tuple[str, str | None], ...], changed: int) -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(
            f"{name} in the environment or .env is not valid: {first['msg'].lower()}."
        ) from None
