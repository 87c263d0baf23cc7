"""The environment and `.env`, read in one place."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from nas_engine.workspace import PROJECT, Workspace


class SettingsError(ValueError):
    """A setting of the environment that cannot be used; the message says which and why."""


class Settings(BaseSettings):
    """Settings of the machine and the person, as opposed to those of a search."""

    model_config = SettingsConfigDict(env_file=PROJECT / ".env", extra="ignore")

    openrouter_api_key: SecretStr = SecretStr("")
    openai_base_url: str = "https://openrouter.ai/api/v1"
    planner_model: str = "anthropic/claude-sonnet-4.5"
    evaluator_model: str = "anthropic/claude-sonnet-4.5"
    verbose: bool = False
    debug: bool = False
    nas_db: Path = PROJECT / "workspace" / "nas.db"
    nas_data_dirs: str = Field("", description="Directories with data files, as in PATH")

    @property
    def has_key(self) -> bool:
        """Whether a language model can be asked."""
        return bool(self.openrouter_api_key.get_secret_value())

    @property
    def workspace(self) -> Workspace:
        """The workspace of the database in use."""
        return Workspace(self.nas_db.expanduser().absolute())

    def worker_environment(self) -> dict[str, str]:
        """Return the environment of a worker: nothing that could hold a secret."""
        secret = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")
        kept = {
            name: value
            for name, value in os.environ.items()
            if not any(word in name.upper() for word in secret)
        }
        return kept | {"NAS_DATA_DIRS": self.nas_data_dirs}


def load_settings() -> Settings:
    """Return the settings of the environment; it overrules `.env`.

    Raises:
        SettingsError: a value has the wrong form.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(
            f"{name} in the environment or .env is not valid: {first['msg'].lower()}."
        ) from None
