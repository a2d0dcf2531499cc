//! The `EdgeDeployment` documents of a made-up fleet: bases, shared layers, and layers of one device.

use super::{
    SITES, Shape,
    device::{self, HARDWARE, RINGS},
    random::Random,
};

/// Modules of every base.
const BASE: [&str; 3] = ["opcua", "historian", "uplink"];
/// Modules of a device's own layer.
const OWN: [&str; 3] = ["cell-control", "cell-quality", "cell-archive"];
/// What shared layers add.
const FEATURES: [&str; 5] = ["vision", "vibration", "energy", "labeler", "scale"];

/// What a document says besides its modules.
struct Head<'a> {
    name: &'a str,
    condition: &'a str,
    priority: usize,
    layered: bool,
    /// Counts the mistakes of the corpus; each number is another one.
    mistake: Option<usize>,
}

/// The base of a site.
pub(super) fn base(shape: &Shape, index: usize, mistake: Option<usize>) -> String {
    let site = SITES[index];
    let condition = format!("tags.site = '{site}'");
    let head =
        Head { name: &format!("base-{site}"), condition: &condition, priority: 10, layered: false, mistake };
    text(&head, &BASE.map(str::to_owned), 0, None, &mut shape.random(2, index))
}

/// A layer for many devices.
pub(super) fn shared(shape: &Shape, index: usize, mistake: Option<usize>) -> String {
    let mut random = shape.random(3, index);
    let site = SITES[index % shape.bases()];
    let line = index % 8;
    let ring = RINGS[index % 3];
    let (one, other) = (HARDWARE[index % 4], HARDWARE[(index + 1) % 4]);
    let condition = match index % 5 {
        0 => format!("tags.ring = '{ring}' AND tags.line = '{line}'"),
        1 => format!("tags.site = '{site}' AND tags.line IN ['{line}', '{}']", (line + 1) % 8),
        2 => format!("tags.hardware IN ['{one}', '{other}'] AND tags.line = '{line}'"),
        3 => format!("tags.location.floor >= 2 AND tags.site = '{site}'"),
        _ => format!("(tags.site = '{site}' OR tags.ring = 'canary') AND NOT tags.hardware = '{one}'"),
    };
    let feature = FEATURES[index % 5];
    let modules =
        [format!("{feature}-{index}"), format!("{feature}-{index}-model"), format!("{feature}-{index}-sync")];
    let head = Head {
        name: &format!("{feature}-{index:03}"),
        condition: &condition,
        priority: 20 + index,
        layered: true,
        mistake,
    };
    // Each module listens on a port of its own, so that any set of layers fits on one host.
    text(&head, &modules, 100 + 3 * index, None, &mut random)
}

/// The layer of one device. `changed` counts the changes of the corpus; they take turns too.
pub(super) fn own(shape: &Shape, index: usize, changed: Option<usize>, mistake: Option<usize>) -> String {
    let name = device::name(index);
    let condition = format!("deviceId = '{name}'");
    let head =
        Head { name: &format!("own-{name}"), condition: &condition, priority: 1000, layered: true, mistake };
    text(&head, &OWN.map(str::to_owned), 50, changed, &mut shape.random(4, index))
}

fn text(
    head: &Head<'_>,
    modules: &[String; 3],
    ports: usize,
    changed: Option<usize>,
    random: &mut Random,
) -> String {
    let mut out = String::with_capacity(4200);
    let Head { name, condition, priority, layered, mistake } = head;
    let wrong = |number: usize| mistake.is_some_and(|mistake| mistake % 5 == number);
    let priority = if wrong(0) { "high".to_owned() } else { priority.to_string() };
    out += &format!(
        "# Owned by the automation team; changes go through a pull request.
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata:
  name: {name}
  labels: {{team: automation, costCenter: \"{}\"}}
spec:
  targetCondition: \"{condition}\"
  priority: {priority}
  layered: {layered}
  modules:
",
        4000 + random.below(100)
    );
    for (place, module) in modules.iter().enumerate() {
        let change = changed.filter(|_| place == 0).map(|number| number % 4);
        let mistake = mistake.filter(|_| place == 1).map(|number| number % 5);
        module_text(&mut out, module, ports + place, change, mistake, random);
    }
    routes(&mut out, modules, changed.is_some_and(|number| number % 4 == 3), wrong(3), random);
    let seconds = if wrong(4) { "2 hours" } else { "2h" };
    out += &format!("  storeAndForward: {{timeToLive: {seconds}}}\n");
    out
}

fn module_text(
    out: &mut String,
    module: &str,
    port: usize,
    change: Option<usize>,
    mistake: Option<usize>,
    random: &mut Random,
) {
    let (minor, patch, digest) = (random.below(20), random.below(40), random.digest());
    let patch = if change == Some(0) { patch + 1 } else { patch };
    let policy = if mistake == Some(1) { "allways" } else { "always" };
    let image = if mistake == Some(2) { "imagee" } else { "image" };
    // Drawn in any case: a change must not move what is drawn behind it.
    let level = random.one_of(&["info", "warn", "error"]);
    let level = if change == Some(1) { "debug" } else { level };
    let rate = random.below(50) + if change == Some(2) { 51 } else { 1 };
    let memory = (random.below(14) + 2) * 33_554_432;
    let (secs, node, low, high) =
        (random.below(60), random.below(900), random.below(40), 60 + random.below(40));
    out.push_str(&format!(
        "    {module}:
      {image}: registry.example/automation/{module}:2.{minor}.{patch}@sha256:{digest}
      restartPolicy: {policy}
      status: running
      startupOrder: {}
",
        port % 3
    ));
    let port = 8000 + port;
    if port.is_multiple_of(2) {
        out.push_str(&format!(
            "      createOptions:
        ExposedPorts: {{\"{port}/tcp\": {{}}}}
        Labels:
          maintainer: automation@example.com
          module: {module}
        HostConfig:
          Binds:
            - /srv/{module}/data:/data
            - /etc/ssl/certs:/etc/ssl/certs:ro
          PortBindings:
            \"{port}/tcp\":
              - HostPort: \"{port}\"
          Memory: {memory}
          LogConfig:
            Type: json-file
            Config: {{max-size: 10m, max-file: \"3\"}}
"
        ));
    } else {
        out.push_str(&format!(
            "      createOptions: '{{\"ExposedPorts\":{{\"{port}/tcp\":{{}}}},\"Labels\":{{\"module\":\"{module}\"}},\"HostConfig\":{{\"Binds\":[\"/srv/{module}/data:/data\",\"/etc/ssl/certs:/etc/ssl/certs:ro\"],\"PortBindings\":{{\"{port}/tcp\":[{{\"HostPort\":\"{port}\"}}]}},\"Memory\":{memory},\"LogConfig\":{{\"Type\":\"json-file\",\"Config\":{{\"max-size\":\"10m\",\"max-file\":\"3\"}}}}}}}}'
"
        ));
    }
    out.push_str(&format!(
        "      env:
        LOG_LEVEL: {level}
        ENDPOINT: opc.tcp://10.20.{}.{}:4840/line
        FLUSH_SECONDS: \"{secs}\"
        # What the plant network allows.
        HTTPS_PROXY: http://proxy.example:3128
        NO_PROXY: localhost,127.0.0.1,.example
      desired:
        sampling: {{rate: {rate}, unit: hertz, enabled: true}}
        limits:
          low: {low}
          high: {high}.5
          reaction: warn
",
        node % 250,
        secs + 1
    ));
}

fn routes(out: &mut String, modules: &[String; 3], change: bool, mistake: bool, random: &mut Random) {
    let [first, second, third] = modules;
    let limit = 40 + random.below(40);
    let limit = if change { limit + 50 } else { limit };
    let where_ = if mistake { "WERE" } else { "WHERE" };
    *out += &format!(
        "  routes:
    {first}-to-{second}: FROM /messages/modules/{first}/outputs/telemetry {where_} $body.temperature > {limit} AND kind = 'press' INTO BrokeredEndpoint(\"/modules/{second}/inputs/in\")
    {second}-to-{third}: FROM /messages/modules/{second}/outputs/* INTO BrokeredEndpoint(\"/modules/{third}/inputs/in\")
    {third}-to-cloud: {{route: \"FROM /messages/modules/{third}/outputs/* INTO $upstream\", priority: 1, timeToLive: 2h}}
"
    );
}
