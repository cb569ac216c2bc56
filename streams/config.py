"""Settings: read once at start, from arguments, environment and a TOML file."""

import difflib
import os
import re
import socket
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from streams.config_file import file_source
from streams.exceptions import SettingsError

ENV_PREFIX = "PLANSTREAM_"
DEFAULT_QUEUE = "default"
RECORD_OVERHEAD_BYTES = 65_536
"""What a batch of one record may add to its value: batch header, key, headers."""

MAX_PORT = 65_535

_NAME = re.compile(r"[a-zA-Z0-9._-]{0,100}")
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s:\[\],/]+):([0-9]{1,5})")
_CALLABLE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_ALIKE = 0.8
"""How alike an unknown variable must be to a known one to be taken for a slip."""


def _commas(value: object) -> object:
    """Let `a,b` stand for a list: environment variables are plain text."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _pairs(value: object) -> object:
    """Let `action=queue,action=queue` stand for a table."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if any(not sign for _, sign, _ in pairs):
        raise ValueError("write it as action=queue,action=queue")
    return {action.strip(): queue.strip() for action, _, queue in pairs}


def _topic_safe(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("only letters, digits, '.', '_' and '-', at most 100")
    return value


def _queue_name(value: str) -> str:
    if not value:
        raise ValueError("a queue needs a name")
    return _topic_safe(value)


def _callable(value: str) -> str:
    if not _CALLABLE.fullmatch(value):
        raise ValueError("write it as package.module:function")
    return value


def _addresses(value: str) -> str:
    """Check a `host:port` list, and write it without blanks."""
    parts = [part.strip() for part in value.split(",")]
    for part in parts:
        match = _ADDRESS.fullmatch(part)
        if match is None or not 0 < int(match[2]) <= MAX_PORT:
            raise ValueError(f"{part!r} is no host:port")
    return ",".join(parts)


def _state_directory() -> Path:
    """Follow the XDG convention; a container without a home has a temporary one."""
    if state := os.environ.get("XDG_STATE_HOME"):
        return Path(state) / "planstream"
    try:
        return Path.home() / ".local" / "state" / "planstream"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "planstream"


Positive = Annotated[int, Field(gt=0)]
QueueName = Annotated[str, AfterValidator(_queue_name)]


class Settings(BaseSettings):
    """All that can be set; arguments win over the environment, that over the file.

    Every setting `x` is the variable `PLANSTREAM_X`, and the member `x` of the TOML
    file that `config` (`PLANSTREAM_CONFIG`) names. Spans are in milliseconds (`_ms`),
    sizes in bytes (`_bytes`).

    Raises:
        SettingsError: From `Settings.load`, with one line for each wrong value.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="forbid", validate_default=True
    )

    config: Path | None = None
    """A TOML file with further settings."""

    # The broker, and how to talk to it.
    broker: Annotated[str, AfterValidator(_addresses)] = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = (
        "PLAINTEXT"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_file: Path | None = None
    ssl_cert_file: Path | None = None
    ssl_key_file: Path | None = None
    connect_timeout_ms: Positive = 10_000
    """How long a command looks for a broker before it gives up."""

    # Topics.
    prefix: Annotated[str, AfterValidator(_topic_safe)] = "planstream."
    partitions: Annotated[int, Field(gt=0, le=10_000)] = 8
    """Partitions of every topic of the coordinator; fixed once there are plans."""
    request_partitions: Annotated[int, Field(gt=0, le=10_000)] | None = None
    """Partitions of a step-requests topic; as many as `partitions` when not set."""
    replication_factor: Annotated[int, Field(gt=0, le=32_767)] | None = None
    """Copies of every topic; when not set, 3, or one per broker if there are fewer."""
    retention_ms: Positive = 7 * 86_400_000
    """How long plans, requests, outcomes and commands stay on their topics."""
    results_retention_ms: Positive = 7 * 86_400_000
    """How long results, audit records, events and dead letters stay."""
    halts_retention_ms: Positive = 3_600_000
    format: Literal["avro", "json"] = "avro"
    """What is written; what is read is told apart by its first byte."""

    # Limits.
    max_submission_bytes: Positive = 1_048_576
    max_record_bytes: Annotated[int, Field(ge=4_194_304, le=1_073_741_824)] = 8_388_608
    """The largest record value on any topic.

    An audit record with all its warnings, a step's row with all its errors, and a
    batch must fit: what a topic refuses could never be committed.
    """
    max_step_result_bytes: Positive = 262_144
    max_inline_environment_bytes: Annotated[int, Field(ge=0)] = 16_384
    """The largest environment that is copied into each of its plan's step requests.

    Requests refer to a larger one: workers read it where the plan was submitted."""
    max_plans_in_flight: Positive = 10_000
    """Open plans of one partition, beyond which its plans wait in their topic."""
    max_deliveries: Positive = 3
    """Starts of one attempt after which it is given up (R29)."""
    registry_retention_ms: Annotated[int, Field(ge=0)] = 7 * 86_400_000
    """How long ids are remembered (R14); 0 is for ever."""

    # The coordinator.
    commit_interval_ms: Positive = 25
    commit_rows: Positive = 1_000
    commit_timeout_ms: Positive = 60_000

    # The step worker.
    queues: Annotated[tuple[QueueName, ...], NoDecode, BeforeValidator(_commas)] = (
        DEFAULT_QUEUE,
    )
    """The queues that a worker serves."""
    routes: Annotated[Mapping[str, QueueName], NoDecode, BeforeValidator(_pairs)] = (
        Field(default_factory=dict)
    )
    """Which queue an action goes to, when it is not the default one."""
    window: Positive = 1_000
    """Requests that a worker holds, ordered by priority."""
    concurrency: Positive = 64
    processes: Positive = max(1, min(4, os.cpu_count() or 1))
    """Processes that run plain functions."""

    # The error handler.
    error_handler_callable: Annotated[str, AfterValidator(_callable)] | None = None
    """The function that is told of every failure (R42), such as `shop.alerts:tell`."""
    error_handler_timeout_ms: Positive = 30_000
    """How long one call of it may take; past it the call has failed."""
    error_handler_max_attempts: Positive = 10
    """Calls with one failure after which that becomes a dead letter."""
    error_handler_backoff_ms: Annotated[int, Field(ge=0)] = 1_000
    """The pause before its second attempt, doubled before each further one."""
    error_handler_max_backoff_ms: Annotated[int, Field(ge=0)] = 60_000
    """The longest pause between its attempts."""

    # Group membership and the process.
    name: Annotated[str, AfterValidator(_topic_safe)] | None = None
    """Tells the processes of one host apart; a free number when not set."""
    group_instance_id: Annotated[str, AfterValidator(_topic_safe)] | None = None
    static_membership: bool = True
    """Whether a process that ends keeps its partitions until its session expires."""
    session_timeout_ms: Positive = 10_000
    heartbeat_interval_ms: Positive = 1_000
    rebalance_timeout_ms: Positive = 90_000
    shutdown_timeout_ms: Positive = 20_000
    progress_timeout_ms: Annotated[int, Field(ge=10_000)] = 120_000
    """How long a process may get nothing done of what it has to do; then it exits."""
    fetch_max_wait_ms: Positive = 20
    health_host: str = "127.0.0.1"
    health_port: Annotated[int, Field(ge=0, le=MAX_PORT)] = 0
    """Where `/live` and `/ready` are answered; 0 is nowhere."""
    health_file: Path | None = None
    """A file that is written anew every second, for probes that run a command."""
    ready_timeout_ms: Positive = 15_000
    """How long a process that gets nothing done still counts as ready."""
    data_dir: Path = Field(default_factory=_state_directory)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the settings; an override of None counts as not given.

        Raises:
            SettingsError: One line for each wrong value, with its variable's name.
        """
        given = {key: value for key, value in overrides.items() if value is not None}
        _refuse_slips(cls, os.environ)
        try:
            return cls(**given)
        except ValidationError as error:
            raise SettingsError(_lines(error)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put arguments before the environment, and that before the file."""
        del dotenv_settings, file_secret_settings
        given = (init_settings, env_settings)
        path = _config_path(init_settings)
        if path is None:
            return given
        return (*given, file_source(settings_cls, path))

    @field_validator("queues")
    @classmethod
    def _some_queue(cls, queues: tuple[str, ...]) -> tuple[str, ...]:
        if not queues:
            raise ValueError("a worker serves at least one queue")
        return tuple(dict.fromkeys(queues))

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Refuse values that are right alone and wrong together."""
        if self.heartbeat_interval_ms * 3 > self.session_timeout_ms:
            raise _disagree(
                "heartbeat_interval_ms", "a session must outlast three heartbeats"
            )
        for size in ("max_submission_bytes", "max_step_result_bytes"):
            if getattr(self, size) > self.max_record_bytes:
                raise _disagree(size, "must not be larger than max_record_bytes")
        if self.security_protocol.startswith("SASL") and not self.sasl_username:
            raise _disagree("sasl_username", f"{self.security_protocol} needs a user")
        return self

    @property
    def step_partitions(self) -> int:
        """How many partitions a step-requests topic has."""
        return self.request_partitions or self.partitions

    @property
    def max_request_bytes(self) -> int:
        """How large a request to the broker may be: one record and what frames it."""
        return self.max_record_bytes + RECORD_OVERHEAD_BYTES

    @property
    def coordinator_app_id(self) -> str:
        """The consumer group of the coordinators, and the name of their app."""
        return f"{self.prefix}coordinator"

    @property
    def worker_app_id(self) -> str:
        """The consumer group of the step workers, and the name of their app."""
        return f"{self.prefix}worker"

    @property
    def error_handler_app_id(self) -> str:
        """The consumer group of the error handler, and the name of its app."""
        return f"{self.prefix}error-handler"

    def queue_of(self, action: str) -> str:
        """Find the queue of an action: the table's entry, or the default queue."""
        return self.routes.get(action, DEFAULT_QUEUE)

    def all_queues(self) -> tuple[str, ...]:
        """Name every queue that these settings speak of, sorted."""
        return tuple(sorted({DEFAULT_QUEUE, *self.routes.values(), *self.queues}))

    def instance_id(self, role: str, slot: str) -> str:
        """Name a member of a group so that it is known again after a restart."""
        host = re.sub(r"[^a-zA-Z0-9._-]", "-", socket.gethostname())
        return self.group_instance_id or f"{host}-{role}-{self.name or slot}"

    def connection(self) -> dict[str, Any]:
        """Give the arguments with which every aiokafka client connects."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.broker.split(","),
            "security_protocol": self.security_protocol,
        }
        if "SSL" in self.security_protocol:
            arguments["ssl_context"] = self._ssl_context()
        if self.security_protocol.startswith("SASL") and self.sasl_password:
            arguments["sasl_mechanism"] = self.sasl_mechanism
            arguments["sasl_plain_username"] = self.sasl_username
            arguments["sasl_plain_password"] = self.sasl_password.get_secret_value()
        return arguments

    def _ssl_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ssl_ca_file)
        if self.ssl_cert_file is not None:
            context.load_cert_chain(self.ssl_cert_file, self.ssl_key_file)
        return context


def _disagree(name: str, why: str) -> ValueError:
    return ValueError(f"{ENV_PREFIX}{name.upper()}: {why}")


def _config_path(arguments: PydanticBaseSettingsSource) -> Path | None:
    given = {}
    if isinstance(arguments, InitSettingsSource):
        given = arguments.init_kwargs
    path = given.get("config") or os.environ.get(f"{ENV_PREFIX}CONFIG")
    return Path(path) if path else None


def _refuse_slips(settings_cls: type[Settings], environ: Mapping[str, str]) -> None:
    """Refuse a misspelt variable, which would silently leave the default.

    Only what is nearly a setting is refused: Kubernetes itself defines
    `PLANSTREAM_SERVICE_HOST` and the like when a service is called planstream.
    """
    known = [name.upper() for name in settings_cls.model_fields]
    lines = []
    for variable in sorted(environ):
        name = variable.removeprefix(ENV_PREFIX)
        if name == variable or name in known:
            continue
        if alike := difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE):
            hint = f"is {ENV_PREFIX}{alike[0]} meant?"
            lines.append(f"{variable}: there is no such setting; {hint}")
    if lines:
        raise SettingsError(lines)


def _lines(error: ValidationError) -> list[str]:
    """Say what is wrong with each value in one line, named by its variable."""
    return [_line(each["loc"], each["type"], each["msg"]) for each in error.errors()]


def _line(loc: tuple[int | str, ...], kind: str, message: str) -> str:
    why = message.removeprefix("Value error, ")
    if not loc:
        return why
    where = ENV_PREFIX + str(loc[0]).upper()
    where += "".join(f"[{part}]" for part in loc[1:])
    if kind == "extra_forbidden":
        return f"{where}: there is no such setting"
    return f"{where}: {why[:1].lower()}{why[1:]}"
