"""Language models that word an answer: any OpenAI-compatible server, a local GGUF file, a local Hugging Face folder.

None of them is trusted: what they write is verified like everything else. Nothing leaves this machine unless the
configuration names a remote host, and then every request is written to an audit log first. Keys come from the
environment or the keyring and are neither logged nor stored.
"""

from __future__ import annotations

import ipaddress
import json
import os
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import httpx
import yaml
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from matgen.assistant.entailment import Entailment
from matgen.errors import ConfigError, MatgenError
from matgen.registry import Registry
from matgen.runtime import require, workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.assistant.document import Citation

Message = dict[str, str]

BACKENDS: Registry[type[Backend]] = Registry("backend", "matgen.assistant")


class BackendConfig(BaseModel):
    """Which language model words the answers.

    Args:
        kind: ``extractive`` (none), ``openai`` (any server of that protocol), ``gguf`` or ``transformers``.
        base_url: Server address up to ``/v1``, for ``openai``.
        model: Model name that the server knows.
        path: GGUF file, or folder of a Hugging Face model.
        key_env: Name of the environment variable that holds the key; the key itself never stands in a file.
        keyring: Service in the system's keyring where the key is looked up under ``key_env`` if that is not set.
        entailment: Folder of a Hugging Face model for natural-language inference that must agree with each sentence.
        ranking: Folder of a Hugging Face model of the BERT family that orders the passages found anew.
        max_tokens: Longest reply.
        context: Tokens of context, for ``gguf``.
        timeout: Seconds for one reply.
        audit_log: Where requests to a remote host are written down.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["extractive", "openai", "gguf", "transformers"] = "extractive"
    base_url: str = ""
    model: str = ""
    path: Path | None = None
    key_env: str = "OPENAI_API_KEY"
    keyring: str = ""
    entailment: Path | None = None
    ranking: Path | None = None
    max_tokens: int = 300
    context: int = 4096
    timeout: float = 120.0
    audit_log: Path = Path(".matgen/audit.jsonl")


class Backend(ABC):
    """A language model behind one contract: messages in, text out, as deterministic as it allows."""

    name: str

    def __init__(self, config: BackendConfig) -> None:
        self.config = config

    @cached_property
    def entailment(self) -> Entailment | None:
        """The configured model for natural-language inference, or None."""
        return Entailment(self.config.entailment) if self.config.entailment is not None else None

    @abstractmethod
    def chat(self, messages: Sequence[Message], max_tokens: int | None = None) -> str:
        """The model's reply to a conversation."""

    def answer(self, question: str, citations: Sequence[Citation]) -> str:
        """An answer in the model's words, with ``[n]`` after each sentence; to be verified."""
        fenced = "\n".join(fence("passage", c.passage, label=c.label) for c in citations)
        user = f"{fenced}\n{fence('question', question)}"
        return self.chat([{"role": "system", "content": prompt("answer-1")}, {"role": "user", "content": user}])


@BACKENDS.register("openai")
class OpenAICompatible(Backend):
    """A server that speaks OpenAI's chat protocol, on this machine or elsewhere."""

    name = "openai"

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        if not config.base_url:
            raise ConfigError(
                "no server named.", where="base_url", fix="Give an address such as http://127.0.0.1:8080/v1."
            )
        key = _key(config)
        self._key = SecretStr(key)
        self.remote = not is_local(config.base_url)
        if self.remote and key and urlsplit(config.base_url).scheme != "https":
            raise ConfigError("a key would travel unencrypted.", where="base_url", fix="Use an https address.")

    def chat(self, messages: Sequence[Message], max_tokens: int | None = None) -> str:
        """The server's reply; a remote request is audited before it is sent."""
        body: dict[str, Any] = {"messages": list(messages), "temperature": 0, "seed": 0}
        body |= {"max_tokens": max_tokens or self.config.max_tokens}
        body |= {"model": self.config.model} if self.config.model else {}
        url = f"{self.config.base_url.rstrip('/')}/chat/completions"
        if self.remote:
            audit(self.config.audit_log, url, body)
        key = self._key.get_secret_value()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            reply = httpx.post(url, json=body, headers=headers, timeout=self.config.timeout)
            reply.raise_for_status()
            return str(reply.json()["choices"][0]["message"]["content"])
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            raise MatgenError(
                f"the model server answered {status}.", where=url, fix="Check model name and key."
            ) from None
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
            fix = "Check that the server runs and speaks OpenAI's protocol."
            raise MatgenError(
                f"no usable reply from the model server ({type(error).__name__}).", where=url, fix=fix
            ) from None


@BACKENDS.register("gguf")
class Gguf(Backend):
    """A GGUF model in this process, through llama.cpp."""

    name = "gguf"

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        path = _existing(config.path)
        package = require("xllamacpp", "local-llm")
        settings = package.CommonParams()
        settings.model.path = str(path)
        settings.n_ctx, settings.n_parallel, settings.warmup, settings.port = config.context, 1, False, 0
        settings.sampling.temp, settings.sampling.seed = 0.0, 0
        settings.verbosity = -1
        for share in (settings.cpuparams, settings.cpuparams_batch):
            share.n_threads = max(1, workers() - 1)  # threads of llama.cpp spin: leave a core to the rest
        self.server = package.Server(settings)

    @property
    def address(self) -> str:
        """Address of the server that the model also answers on, for OpenAI's protocol below ``/v1``."""
        return str(self.server.listening_address)

    def chat(self, messages: Sequence[Message], max_tokens: int | None = None) -> str:
        """The model's reply at temperature 0."""
        body = {"messages": list(messages), "temperature": 0, "max_tokens": max_tokens or self.config.max_tokens}
        reply = self.server.handle_chat_completions(body)
        if "choices" not in reply:
            raise MatgenError(f"the model gave no reply: {reply.get('message', reply)}.", where=str(self.config.path))
        return str(reply["choices"][0]["message"]["content"])


@BACKENDS.register("transformers")
class Transformers(Backend):
    """A causal Hugging Face model from a local folder of safetensors; greedy decoding."""

    name = "transformers"

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        path = str(_existing(config.path))
        package = require("transformers", "local-llm")
        self.tokenizer = package.AutoTokenizer.from_pretrained(path, local_files_only=True)
        self.model = package.AutoModelForCausalLM.from_pretrained(path, local_files_only=True, use_safetensors=True)
        self.model.eval()

    def chat(self, messages: Sequence[Message], max_tokens: int | None = None) -> str:
        """The model's most probable reply."""
        import torch

        if self.tokenizer.chat_template:
            text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        else:
            text = "\n\n".join(m["content"] for m in messages) + "\n\nAnswer:"
        encoded = self.tokenizer(text, return_tensors="pt")
        new = max_tokens or self.config.max_tokens
        room = getattr(self.model.config, "max_position_embeddings", None) or 10**6
        encoded = {k: v[:, -max(1, room - new) :] for k, v in encoded.items() if k in {"input_ids", "attention_mask"}}
        with torch.inference_mode():
            out = self.model.generate(**encoded, max_new_tokens=new, do_sample=False, pad_token_id=0)
        return str(self.tokenizer.decode(out[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True))


def open_backend(config: BackendConfig) -> Backend | None:
    """The configured backend; None for the extractive default."""
    return None if config.kind == "extractive" else BACKENDS.get(config.kind)(config)


def read_config(path: str | Path | None) -> BackendConfig:
    """Read a YAML file with the fields of :class:`BackendConfig`; None gives the defaults."""
    if path is None:
        return BackendConfig()
    path = Path(path)
    try:
        return BackendConfig(**(yaml.safe_load(path.read_text(encoding="utf-8")) or {}))
    except ValidationError as error:
        names = ", ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        fix = f"Known keys: {', '.join(BackendConfig.model_fields)}. Keys are read from the environment only."
        raise ConfigError(f"{names}.", where=str(path), fix=fix) from None
    except (OSError, yaml.YAMLError, TypeError) as error:
        raise ConfigError(
            f"unreadable ({type(error).__name__}).", where=str(path), fix="Write YAML keys and values."
        ) from error


def prompt(name: str) -> str:
    """A versioned prompt template."""
    return resources.files("matgen.assistant").joinpath("prompts", f"{name}.md").read_text(encoding="utf-8")


def fence(tag: str, text: str, **attributes: object) -> str:
    """Text between tags that it cannot close itself."""
    inside = text.replace("<", "‹").replace(">", "›")
    extra = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f"<{tag}{extra}>{inside}</{tag}>"


def is_local(url: str) -> bool:
    """Whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def audit(path: Path, url: str, body: dict[str, Any]) -> None:
    """Append one request to the audit log: when, where to, and all that is sent except the key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), "url": url, "body": body})
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def _key(config: BackendConfig) -> str:
    """The key from the environment, or else from the system's keyring where one is named."""
    key = os.environ.get(config.key_env, "")
    if key or not config.keyring:
        return key
    return require("keyring", "assistant").get_password(config.keyring, config.key_env) or ""


def _existing(path: Path | None) -> Path:
    if path is None or not path.exists():
        raise ConfigError("no such model.", where=str(path or "path"), fix="Give a GGUF file or a model folder.")
    return path
