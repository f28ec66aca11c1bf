"""The configuration of a facility, passerelle.toml: every key, its meaning and its default."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from passerelle.acquisition import Metadata
from passerelle.core.config import Section, read_config
from passerelle.core.devices import DEVICE_PATTERN
from passerelle.core.errors import BadConfiguration
from passerelle.pipeline import Order
from passerelle.processing import Recipe, Threshold, default_thresholds
from passerelle.programs import KINDS
from passerelle.service.settings_care import BufferSettings, NoticeSettings
from passerelle.service.settings_people import AuditSettings, LdapSettings, PeopleSettings
from passerelle.service.settings_transfers import TransferSettings
from passerelle.service.settings_zones import PcSettings, ShareSettings, ZoneSettings, check_pcs

INSTRUMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class InstrumentSettings(Section):
    """A microscope with one camera: the folder that it writes to, and what its files do not say."""

    folder: Path = Field(
        description="The folder that the microscope's PC writes to. passerelle only reads it, unless `recompress` is set.",
        examples=["/gateway/krios"],
    )
    program: Literal["auto", "epu", "serialem", "digital_micrograph", "falcon", "generic"] = Field(
        default="auto", description="The program that writes there; auto: each file by the mark that its name bears."
    )
    camera: str = Field(default="", description="Name of the camera, as pages show it.", examples=["Falcon 4i"])
    time_zone: str = Field(
        default="UTC",
        description="Time zone of the microscope's clock, for sidecars that give local times.",
        examples=["Europe/Paris"],
    )
    gain: Path | None = Field(
        default=None,
        description="Gain reference of all movies; without it, the one that comes with the session is used.",
        examples=["/gateway/gains/krios.mrc"],
    )
    gain_mode: Literal["multiply", "divide"] | None = Field(
        default=None,
        description="multiply or divide by the gain; without it: as [processing.gain], but for EER by the kind of gain file.",
        examples=["multiply"],
    )
    gain_orientation: str | None = Field(
        default=None, description="Turn the gain before use, where it differs from [processing.gain].", examples=["flip_y"]
    )
    defects: Path | None = Field(
        default=None,
        description="Defect map of all movies; without it, the one that comes with the session is used.",
        examples=["/gateway/gains/krios_defects.txt"],
    )
    voltage_kv: float | None = Field(default=None, gt=0, description="Acceleration voltage, kV.", examples=[300.0])
    spherical_aberration_mm: float | None = Field(default=None, ge=0, description="Spherical aberration, mm.", examples=[2.7])
    pixel_size_angstrom: float | None = Field(
        default=None, gt=0, description="Pixel of the movie on the specimen, Å; overrules what the files say.", examples=[0.83]
    )
    dose_per_frame_e_per_angstrom2: float | None = Field(
        default=None, gt=0, description="Dose of one frame on the specimen, e/Å²; overrules what the files say.", examples=[1.0]
    )
    amplitude_contrast: float | None = Field(
        default=None, ge=0, lt=1, description="Amplitude contrast, where it differs from [processing.ctf].", examples=[0.07]
    )
    quiet_seconds: float = Field(
        default=10.0, ge=0, description="A file that cannot be proven whole is taken up when it did not change for so long."
    )
    sidecar_wait_seconds: float = Field(
        default=30.0, ge=0, description="How long a whole movie waits for its sidecar (XML, mdoc) before it is processed without."
    )
    gain_wait_seconds: float = Field(
        default=120.0, ge=0, description="How long a whole movie waits for the gain that its sidecar names, before the same."
    )
    frames_wait_seconds: float = Field(
        default=20.0,
        ge=0,
        description="Single-frame files: how long after the last one more are expected, if no source says how many.",
    )
    polling: bool | None = Field(
        default=None, description="Poll the folder instead of listening to the kernel; without it: chosen by the kind of mount.",
        examples=[True],
    )  # fmt: skip
    processing: bool = Field(
        default=True,
        description="Process its movies. false: the folder is watched, shown and sent, as for X-ray or light microscopes.",
    )
    recompress: Literal["off", "lzw", "deflate"] = Field(
        default="off",
        description="Write raw MRC movies that have their result as compressed TIFF beside them, proven frame by frame.",
    )
    recompress_remove_original: bool = Field(
        default=False, description="Remove a raw MRC movie when its compressed copy was proven and nobody has it open."
    )

    def metadata(self) -> Metadata:
        """Return what the configuration says of an exposure."""
        return Metadata(
            voltage_kv=self.voltage_kv,
            spherical_aberration_mm=self.spherical_aberration_mm,
            pixel_size_angstrom=self.pixel_size_angstrom,
            dose_per_frame_e_per_angstrom2=self.dose_per_frame_e_per_angstrom2,
            amplitude_contrast=self.amplitude_contrast,
            camera=self.camera or None,
        )


class StateSettings(Section):
    """Where passerelle keeps what it knows and makes."""

    folder: Path = Field(default=Path("state"), description="Database, logs and the like. A local disk, never a network mount.")
    results: Path | None = Field(
        default=None,
        description="Micrographs and pictures; without it: `results` inside the state folder.",
        examples=["/data/results"],
    )
    database: str | None = Field(
        default=None,
        description="postgresql://USER@HOST/NAME to keep the state in PostgreSQL; without it: SQLite inside the state folder.",
        examples=["postgresql://passerelle@localhost/passerelle"],
    )


class WebSettings(Section):
    """The live page."""

    host: str = Field(default="127.0.0.1", description="Address to listen at. 0.0.0.0 shows the pages to the whole network.")
    port: int = Field(default=8620, ge=0, le=65535, description="Port to listen at; 0 takes any that is free.")
    names: tuple[str, ...] = Field(
        default=(),
        description="Names beside localhost under which browsers may reach the pages.",
        examples=[["krios.institute.org"]],
    )
    metrics_from: tuple[str, ...] = Field(
        default=("127.0.0.0/8", "::1"),
        description="Addresses and networks from which /metrics is read without a token of the scope look.",
        examples=[["127.0.0.0/8", "10.1.2.3"]],
    )
    certificate: Path | None = Field(
        default=None,
        description="Serve the pages by TLS, with this certificate and those that vouch for it (PEM).",
        examples=["/etc/passerelle/tls/fullchain.pem"],
    )
    key: Path | None = Field(
        default=None,
        description="The certificate's key (PEM), readable by the service alone.",
        examples=["/etc/passerelle/tls/key.pem"],
    )

    @field_validator("metrics_from")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            ipaddress.ip_network(each, strict=False)
        return value

    @model_validator(mode="after")
    def _both(self) -> WebSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are given together")
        return self


class WorkSettings(Section):
    """How movies are worked off."""

    executor: Literal["parsl", "processes", "inline"] = Field(
        default="parsl", description="What runs the work: parsl, plain worker processes, or this process itself."
    )
    workers: int = Field(default=0, ge=0, le=1024, description="Movies processed at a time; 0: chosen by processors and memory.")
    threads_per_worker: int = Field(default=1, ge=1, le=256, description="Threads of one worker.")
    devices: tuple[Annotated[str, StringConstraints(pattern=f"^({DEVICE_PATTERN})$")], ...] = Field(
        default=("cpu",),
        min_length=1,
        description="Where motion is corrected: cpu, or graphics cards (cuda, cuda:1), which movies take in turn. "
        "A card needs `passerelle[gpu]`.",
        examples=[["cuda:0", "cuda:1"]],
    )
    order: Order = Field(default=Order.NEWEST_FIRST, description="newest_first, oldest_first or alternating.")
    max_attempts: int = Field(default=3, ge=1, description="A movie that failed so often is set aside with its error.")
    retry_seconds: float = Field(default=10.0, ge=0, description="Wait before the second try; each later wait is twice as long.")
    longest_seconds: float = Field(default=3600.0, gt=0, description="A movie that takes longer is stopped and tried again.")


class AlertSettings(Section):
    """When a person is told. 0 switches a rule off."""

    no_new_movie_minutes: float = Field(default=25.0, ge=0, description="An open session brought no movie for so long.")
    disk_warn_percent: float = Field(default=90.0, ge=0, le=100, description="A disk is so full: warning.")
    disk_error_percent: float = Field(
        default=95.0, ge=0, le=100, description="A disk is so full: error, and no new work is started."
    )
    no_result_minutes: float = Field(
        default=15.0, ge=0, description="A movie has been whole for so long and there is neither a result nor an error."
    )
    failed_movies: int = Field(default=3, ge=0, description="So many movies in a row failed.")
    outside_share: float = Field(
        default=0.75, ge=0, le=1, description="This share of the latest 25 micrographs is outside of a threshold."
    )


class ProgramSettings(Section):
    """Where external programs lie, for recipes that name them in motion.program or ctf.program. Not needed otherwise."""

    relion: str = Field(
        default="relion_run_motioncorr", description="RELION's motion correction: a path, or a name in the folders of PATH."
    )
    relion_arguments: tuple[str, ...] = Field(default=(), description="More arguments for it.", examples=[["--skip_defect"]])
    motioncor2: str = Field(default="MotionCor2", description="MotionCor2, likewise.", examples=["/opt/MotionCor2_1.6.4"])
    motioncor2_arguments: tuple[str, ...] = Field(
        default=(), description="More arguments for it, such as the GPU.", examples=[["-Gpu", "0"]]
    )
    motioncor3: str = Field(default="MotionCor3", description="MotionCor3, likewise.")
    motioncor3_arguments: tuple[str, ...] = Field(
        default=(), description="More arguments for it, such as the GPU.", examples=[["-Gpu", "0"]]
    )
    ctffind4: str = Field(default="ctffind", description="CTFFIND 4.1, likewise.")
    ctffind4_arguments: tuple[str, ...] = Field(default=(), description="More arguments for it.")
    ctffind5: str = Field(default="ctffind5", description="CTFFIND 5, likewise.", examples=["/opt/cistem/ctffind"])
    ctffind5_arguments: tuple[str, ...] = Field(default=(), description="More arguments for it.")
    longest_seconds: float = Field(
        default=1800.0, gt=0, description="A program that takes longer for one movie is ended, and the movie tried again."
    )


def _thresholds() -> dict[str, Threshold]:
    return default_thresholds()


class Settings(Section):
    """All of passerelle.toml."""

    facility: str = Field(default="Cryo-EM facility", description="Name of the facility, as pages show it.")
    state: StateSettings = Field(default=StateSettings(), description="Where passerelle keeps what it knows and makes.")
    web: WebSettings = Field(default=WebSettings(), description="The live page.")
    work: WorkSettings = Field(default=WorkSettings(), description="How movies are worked off.")
    programs: ProgramSettings = Field(
        default=ProgramSettings(), description="Where external programs lie, for recipes that name them."
    )
    alerts: AlertSettings = Field(default=AlertSettings(), description="When a person is told. 0 switches a rule off.")
    buffer: BufferSettings = Field(default=BufferSettings(), description="The room of gateway folders, and what may go.")
    notices: NoticeSettings = Field(default=NoticeSettings(), description="Alerts and ends of transfers by mail and chat.")
    people: PeopleSettings = Field(default=PeopleSettings(), description="Log-ins.")
    audit: AuditSettings = Field(default=AuditSettings(), description="The log of what people did.")
    ldap: LdapSettings = Field(default=LdapSettings(), description="A directory that checks passwords.")
    zones: ZoneSettings = Field(default=ZoneSettings(), description="Places on central storage.")
    transfers: TransferSettings = Field(default=TransferSettings(), description="How datasets are sent to zones.")
    shares: ShareSettings = Field(default=ShareSettings(), description="What Samba shows.")
    processing: Recipe = Field(default=Recipe(), description="The parameters of new sessions; pages change those of a session.")
    thresholds: dict[str, Threshold] = Field(
        default_factory=_thresholds, description="The thresholds of new sessions; pages change those of a session."
    )
    instruments: dict[Annotated[str, StringConstraints(min_length=1, max_length=63)], InstrumentSettings] = Field(
        default={}, description="One section an instrument."
    )
    pcs: dict[Annotated[str, StringConstraints(min_length=1, max_length=40)], PcSettings] = Field(
        default={}, description="One section an instrument PC that writes through Samba."
    )

    @field_validator("instruments")
    @classmethod
    def _names(cls, value: dict[str, InstrumentSettings]) -> dict[str, InstrumentSettings]:
        for name in value:
            if not INSTRUMENT_NAME.fullmatch(name):
                raise ValueError(f"an instrument's name has letters, digits, '.', '_' and '-' only: {name!r}")
        return value

    @field_validator("thresholds")
    @classmethod
    def _known(cls, value: dict[str, Threshold]) -> dict[str, Threshold]:
        from passerelle.processing import BY_NAME

        for name in value:
            if name not in BY_NAME:
                raise ValueError(f"no metric is called {name!r}")
        defaults = default_thresholds()
        return defaults | {
            name: defaults[name].model_copy(update=each.model_dump(exclude_unset=True)) if name in defaults else each
            for name, each in value.items()
        }

    @property
    def results(self) -> Path:
        return self.state.results or self.state.folder / "results"

    @property
    def database_url(self) -> str:
        return self.state.database or f"sqlite:///{self.state.folder / 'passerelle.sqlite'}"

    def workers(self) -> int:
        """Return how many movies to process at a time: as set, else by processors, and 4 GiB of memory each."""
        if self.work.workers:
            return self.work.workers
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        processors = len(os.sched_getaffinity(0)) // self.work.threads_per_worker
        return max(1, min(processors, memory // (4 << 30)))


def read_settings(path: Path) -> Settings:
    """Read passerelle.toml; relative paths in it count from its folder.

    Raises:
        NotFound: there is no such file.
        BadConfiguration: a key or value cannot be used, or two instruments share a folder.
    """
    settings = anchored(read_config(path, Settings), path.resolve().parent)
    folders: dict[Path, str] = {}
    for name, instrument in settings.instruments.items():
        for other, owner in folders.items():
            if instrument.folder.is_relative_to(other) or other.is_relative_to(instrument.folder):
                raise BadConfiguration(
                    f"instruments {owner} and {name} would watch the same folder {instrument.folder}.",
                    advice="Give each its own folder.",
                    path=path,
                )
        folders[instrument.folder] = name
    check_pcs(settings.pcs, set(settings.instruments), path)
    return settings


def anchored(settings: Settings, base: Path) -> Settings:
    """Return the settings with all paths absolute, relative ones counted from `base`."""

    def absolute(path: Path | None) -> Path | None:
        return None if path is None else Path(os.path.normpath(base / path.expanduser()))

    instruments = {
        name: each.model_copy(
            update={"folder": absolute(each.folder), "gain": absolute(each.gain), "defects": absolute(each.defects)}
        )
        for name, each in settings.instruments.items()
    }
    database = settings.state.database
    if database and database.startswith("sqlite:///") and not database.startswith("sqlite:////"):
        database = f"sqlite:///{absolute(Path(database.removeprefix('sqlite:///')))}"
    state = settings.state.model_copy(
        update={"folder": absolute(settings.state.folder), "results": absolute(settings.state.results), "database": database}
    )
    paths = {name: getattr(settings.programs, name) for name in KINDS}
    programs = settings.programs.model_copy(
        update={name: str(absolute(Path(path))) for name, path in paths.items() if os.sep in path}
    )
    others = tuple(absolute(each) for each in settings.zones.other_folders)
    zones = settings.zones.model_copy(update={"folder": absolute(settings.zones.folder), "other_folders": others})
    web = settings.web.model_copy(update={"certificate": absolute(settings.web.certificate), "key": absolute(settings.web.key)})
    shares = settings.shares.model_copy(
        update={"folder": absolute(settings.shares.folder), "private": absolute(settings.shares.private)}
    )
    transfers = settings.transfers.model_copy(update={"hand": absolute(settings.transfers.hand)})
    secrets = {name: absolute(getattr(settings.ldap, name)) for name in ("ca_file", "bind_password_file")}
    return settings.model_copy(
        update={
            "instruments": instruments,
            "state": state,
            "programs": programs,
            "zones": zones,
            "shares": shares,
            "transfers": transfers,
            "web": web,
            "ldap": settings.ldap.model_copy(update=secrets),
            "notices": settings.notices.model_copy(update={"urls_file": absolute(settings.notices.urls_file)}),
        }
    )
