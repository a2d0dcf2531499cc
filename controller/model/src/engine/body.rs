//! The body of the container-create call as a table: which members there are, which types they take, and which values
//! the engine refuses. Data only; the names are those of the Engine API up to 1.53, older ones included.

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Anything.
    Any,
    Bool,
    Whole(Whole),
    Text(Text),
    /// A text, or a list of texts.
    Words(Text),
    List(&'static Self),
    /// A mapping with free names.
    Map(Names, &'static Self),
    /// A mapping with known names.
    Fields(&'static [Field]),
}

/// One member of a mapping.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// Bounds of a whole number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whole {
    Any,
    /// From, to.
    Between(i64, i64),
    /// 0 for "none", else from, to.
    ZeroOr(i64, i64),
    /// Bytes; 0 for "no limit", else at least what a container needs to start.
    Memory,
    /// Nanoseconds; 0 for "as the image says", else at least a millisecond.
    Nanoseconds,
}

/// Rules for a text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Text {
    Any,
    /// One of these; the empty text is always allowed.
    OneOf(&'static [&'static str]),
    /// One of these, or `container:NAME`.
    Mode(&'static [&'static str]),
    /// `[source:]target[:mode]`.
    Bind,
    /// A port or a range of ports.
    HostPort,
    Address,
    Signal,
    Capability,
    /// `NAME=value`.
    Variable,
    /// An absolute path.
    Path,
    /// Some of the letters r, w and m.
    Permissions,
    Limit,
    /// `name:address`.
    Host,
}

/// Rules for the names of a mapping.
#[derive(Debug, Clone, Copy)]
pub(super) enum Names {
    Any,
    /// `80/tcp`.
    Port,
    /// The same, also a range.
    Ports,
    /// An absolute path.
    Path,
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind }
}

const TEXT: Kind = Kind::Text(Text::Any);
const TEXTS: Kind = Kind::List(&TEXT);
const WHOLE: Kind = Kind::Whole(Whole::Any);
const SOME: Kind = Kind::Whole(Whole::Between(0, i64::MAX));
const TEXT_MAP: Kind = Kind::Map(Names::Any, &TEXT);
const NOTHING: Kind = Kind::Fields(&[]);
const NANOSECONDS: Kind = Kind::Whole(Whole::Nanoseconds);
const ADDRESS: Kind = Kind::Text(Text::Address);
const PATH: Kind = Kind::Text(Text::Path);
const RATES: Kind = Kind::List(&Kind::Fields(&[field("Path", TEXT), field("Rate", SOME)]));

/// The body itself.
pub(super) const BODY: &[Field] = &[
    field("Hostname", TEXT),
    field("Domainname", TEXT),
    field("User", TEXT),
    field("AttachStdin", Kind::Bool),
    field("AttachStdout", Kind::Bool),
    field("AttachStderr", Kind::Bool),
    field("ExposedPorts", Kind::Map(Names::Ports, &NOTHING)),
    field("Tty", Kind::Bool),
    field("OpenStdin", Kind::Bool),
    field("StdinOnce", Kind::Bool),
    field("Env", Kind::List(&Kind::Text(Text::Variable))),
    field("Cmd", Kind::Words(Text::Any)),
    field("Healthcheck", Kind::Fields(HEALTH)),
    field("ArgsEscaped", Kind::Bool),
    field("Image", TEXT),
    field("Volumes", Kind::Map(Names::Path, &NOTHING)),
    field("WorkingDir", TEXT),
    field("Entrypoint", Kind::Words(Text::Any)),
    field("NetworkDisabled", Kind::Bool),
    field("MacAddress", TEXT),
    field("OnBuild", TEXTS),
    field("Labels", TEXT_MAP),
    field("StopSignal", Kind::Text(Text::Signal)),
    field("StopTimeout", Kind::Whole(Whole::Between(-1, i64::MAX))),
    field("Shell", Kind::Words(Text::Any)),
    field("HostConfig", Kind::Fields(HOST)),
    field("NetworkingConfig", Kind::Fields(NETWORKING)),
];

const HEALTH: &[Field] = &[
    field("Test", TEXTS),
    field("Interval", NANOSECONDS),
    field("Timeout", NANOSECONDS),
    field("Retries", SOME),
    field("StartPeriod", NANOSECONDS),
    field("StartInterval", NANOSECONDS),
];

const NETWORKING: &[Field] = &[field("EndpointsConfig", Kind::Map(Names::Any, &Kind::Fields(ENDPOINT)))];

const ENDPOINT: &[Field] = &[
    field(
        "IPAMConfig",
        Kind::Fields(&[
            field("IPv4Address", ADDRESS),
            field("IPv6Address", ADDRESS),
            field("LinkLocalIPs", Kind::List(&ADDRESS)),
        ]),
    ),
    field("Links", TEXTS),
    field("Aliases", TEXTS),
    field("MacAddress", TEXT),
    field("DriverOpts", TEXT_MAP),
    field("GwPriority", WHOLE),
    // Written by the engine; tools that copy an inspected container send them back.
    field("NetworkID", TEXT),
    field("EndpointID", TEXT),
    field("Gateway", TEXT),
    field("IPAddress", TEXT),
    field("IPPrefixLen", WHOLE),
    field("IPv6Gateway", TEXT),
    field("GlobalIPv6Address", TEXT),
    field("GlobalIPv6PrefixLen", WHOLE),
    field("DNSNames", TEXTS),
];

/// Members of `HostConfig`.
pub(super) const HOST: &[Field] = &[
    field("Binds", Kind::List(&Kind::Text(Text::Bind))),
    field("ContainerIDFile", TEXT),
    field("LogConfig", Kind::Fields(&[field("Type", TEXT), field("Config", TEXT_MAP)])),
    field("NetworkMode", TEXT),
    field("PortBindings", Kind::Map(Names::Port, &Kind::List(&Kind::Fields(BINDING)))),
    field("RestartPolicy", Kind::Fields(RESTART)),
    field("AutoRemove", Kind::Bool),
    field("VolumeDriver", TEXT),
    field("VolumesFrom", TEXTS),
    field("Mounts", Kind::List(&Kind::Fields(MOUNT))),
    field("ConsoleSize", Kind::List(&SOME)),
    field("Annotations", TEXT_MAP),
    field("CapAdd", Kind::Words(Text::Capability)),
    field("CapDrop", Kind::Words(Text::Capability)),
    field("Capabilities", TEXTS),
    field("CgroupnsMode", Kind::Text(Text::OneOf(&["private", "host"]))),
    field("Dns", Kind::List(&ADDRESS)),
    field("DnsOptions", TEXTS),
    field("DnsSearch", TEXTS),
    field("ExtraHosts", Kind::List(&Kind::Text(Text::Host))),
    field("GroupAdd", TEXTS),
    field("IpcMode", Kind::Text(Text::Mode(&["none", "private", "shareable", "host"]))),
    field("Cgroup", TEXT),
    field("Links", TEXTS),
    field("OomScoreAdj", Kind::Whole(Whole::Between(-1000, 1000))),
    field("PidMode", Kind::Text(Text::Mode(&["host", "private"]))),
    field("Privileged", Kind::Bool),
    field("PublishAllPorts", Kind::Bool),
    field("ReadonlyRootfs", Kind::Bool),
    field("SecurityOpt", TEXTS),
    field("StorageOpt", TEXT_MAP),
    field("Tmpfs", Kind::Map(Names::Path, &TEXT)),
    field("UTSMode", Kind::Text(Text::OneOf(&["host", "private"]))),
    field("UsernsMode", TEXT),
    field("ShmSize", SOME),
    field("Sysctls", TEXT_MAP),
    field("Runtime", TEXT),
    field("Isolation", Kind::Text(Text::OneOf(&["default", "process", "hyperv"]))),
    field("MaskedPaths", TEXTS),
    field("ReadonlyPaths", TEXTS),
    field("CpuShares", SOME),
    field("Memory", Kind::Whole(Whole::Memory)),
    field("CgroupParent", TEXT),
    field("BlkioWeight", Kind::Whole(Whole::ZeroOr(10, 1000))),
    field(
        "BlkioWeightDevice",
        Kind::List(&Kind::Fields(&[
            field("Path", TEXT),
            field("Weight", Kind::Whole(Whole::ZeroOr(10, 1000))),
        ])),
    ),
    field("BlkioDeviceReadBps", RATES),
    field("BlkioDeviceWriteBps", RATES),
    field("BlkioDeviceReadIOps", RATES),
    field("BlkioDeviceWriteIOps", RATES),
    field("CpuPeriod", Kind::Whole(Whole::ZeroOr(1000, 1_000_000))),
    field("CpuQuota", Kind::Whole(Whole::ZeroOr(1000, i64::MAX))),
    field("CpuRealtimePeriod", SOME),
    field("CpuRealtimeRuntime", WHOLE),
    field("CpusetCpus", TEXT),
    field("CpusetMems", TEXT),
    field("Devices", Kind::List(&Kind::Fields(DEVICE))),
    field("DeviceCgroupRules", TEXTS),
    field("DeviceRequests", Kind::List(&Kind::Fields(REQUEST))),
    field("KernelMemory", WHOLE),
    field("KernelMemoryTCP", WHOLE),
    field("MemoryReservation", Kind::Whole(Whole::Memory)),
    field("MemorySwap", Kind::Whole(Whole::Between(-1, i64::MAX))),
    field("MemorySwappiness", Kind::Whole(Whole::Between(-1, 100))),
    field("NanoCpus", SOME),
    field("OomKillDisable", Kind::Bool),
    field("Init", Kind::Bool),
    field("PidsLimit", Kind::Whole(Whole::Between(-1, i64::MAX))),
    field("Ulimits", Kind::List(&Kind::Fields(ULIMIT))),
    field("CpuCount", SOME),
    field("CpuPercent", SOME),
    field("IOMaximumIOps", SOME),
    field("IOMaximumBandwidth", SOME),
];

const BINDING: &[Field] = &[field("HostIp", ADDRESS), field("HostPort", Kind::Text(Text::HostPort))];

const RESTART: &[Field] = &[
    field("Name", Kind::Text(Text::OneOf(&["no", "always", "unless-stopped", "on-failure"]))),
    field("MaximumRetryCount", SOME),
];

const MOUNT: &[Field] = &[
    field("Target", PATH),
    field("Source", TEXT),
    field("Type", Kind::Text(Text::OneOf(&["bind", "cluster", "image", "npipe", "tmpfs", "volume"]))),
    field("ReadOnly", Kind::Bool),
    field("Consistency", Kind::Text(Text::OneOf(&["default", "consistent", "cached", "delegated"]))),
    field(
        "BindOptions",
        Kind::Fields(&[
            field(
                "Propagation",
                Kind::Text(Text::OneOf(&["private", "rprivate", "shared", "rshared", "slave", "rslave"])),
            ),
            field("NonRecursive", Kind::Bool),
            field("CreateMountpoint", Kind::Bool),
            field("ReadOnlyNonRecursive", Kind::Bool),
            field("ReadOnlyForceRecursive", Kind::Bool),
        ]),
    ),
    field(
        "VolumeOptions",
        Kind::Fields(&[
            field("NoCopy", Kind::Bool),
            field("Labels", TEXT_MAP),
            field("DriverConfig", Kind::Fields(&[field("Name", TEXT), field("Options", TEXT_MAP)])),
            field("Subpath", TEXT),
        ]),
    ),
    field("ImageOptions", Kind::Fields(&[field("Subpath", TEXT)])),
    field(
        "TmpfsOptions",
        Kind::Fields(&[field("SizeBytes", SOME), field("Mode", SOME), field("Options", Kind::List(&TEXTS))]),
    ),
    field("ClusterOptions", Kind::Any),
];

const DEVICE: &[Field] = &[
    field("PathOnHost", TEXT),
    field("PathInContainer", TEXT),
    field("CgroupPermissions", Kind::Text(Text::Permissions)),
];

const REQUEST: &[Field] = &[
    field("Driver", TEXT),
    field("Count", Kind::Whole(Whole::Between(-1, i64::MAX))),
    field("DeviceIDs", TEXTS),
    field("Capabilities", Kind::List(&TEXTS)),
    field("Options", TEXT_MAP),
];

const ULIMIT: &[Field] = &[
    field("Name", Kind::Text(Text::Limit)),
    field("Soft", Kind::Whole(Whole::Between(-1, i64::MAX))),
    field("Hard", Kind::Whole(Whole::Between(-1, i64::MAX))),
];
