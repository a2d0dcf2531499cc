//! Rules that only several documents together can break: names, parents, layers.

use super::{Rule, error, note, warning};

/// The device of the examples and, behind it, what else their fleet has.
macro_rules! fleet {
    ($($rest:expr),*) => {
        concat!(
            "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: press-01}\nspec: {edge: true, tags: {site: lyon}}\n",
            $($rest),*
        )
    };
}

/// A deployment of an example, for all of Lyon.
macro_rules! deployment {
    ($name:literal, $spec:literal) => {
        concat!(
            "---\napiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {name: ",
            $name,
            "}\nspec:\n  targetCondition: tags.site = 'lyon'\n",
            $spec,
            "\n"
        )
    };
}

/// In the order in which a fleet meets them.
pub(super) const RULES: &[Rule] = &[
    error(
        "duplicate-name",
        "Two documents of a kind have the same name.",
        "One would replace the other, depending on the order of files.",
        "Choose another name for one of them.",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: a}\nspec: {}\n---\n\
         apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: a}\nspec: {}",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: a}\nspec: {}\n---\n\
         apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: b}\nspec: {}",
    ),
    error(
        "duplicate-device-id",
        "Two documents describe the same device.",
        "The hub has one twin and one key for an id; the documents would fight for it.",
        "Remove one, or give it another id.",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: a}\nspec: {}\n---\n\
         apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: b}\nspec: {deviceId: a}",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: a}\nspec: {}\n---\n\
         apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: b}\nspec: {deviceId: B}",
    ),
    error(
        "unknown-parent",
        "The parent of a device does not exist.",
        "The device would have nothing to connect through.",
        "Correct the name, or add the parent's document.",
        "parent: gatway-1",
        "edge: true",
    ),
    error(
        "parent-not-edge",
        "The parent of a device is no edge device.",
        "Only an edge device passes on what its children send.",
        "Give the parent `edge: true`, or choose another one.",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: a}\nspec: {}\n---\n\
         apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: b}\nspec: {parent: a}",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: a}\nspec: {edge: true}\n---\n\
         apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: b}\nspec: {parent: a}",
    ),
    error(
        "parent-cycle",
        "The parents of a device lead back to itself.",
        "None of these devices could reach the hub.",
        "Remove one of the parents.",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: a}\nspec: {edge: true, parent: a}",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: a}\nspec: {edge: true}",
    ),
    error(
        "priority-tie",
        "Two base deployments of the same priority select a device.",
        "A device has exactly one base. Git has no time of creation, so the choice would be a coin flip.",
        "Give one of them a higher priority, or make it layered.",
        fleet!(
            deployment!("vision", "  priority: 10\n  modules: {camera: {image: 'camera:1.3'}}"),
            deployment!("audio", "  priority: 10\n  modules: {mic: {image: 'mic:2.0'}}")
        ),
        fleet!(
            deployment!("vision", "  priority: 10\n  modules: {camera: {image: 'camera:1.3'}}"),
            deployment!("audio", "  priority: 20\n  modules: {mic: {image: 'mic:2.0'}}")
        ),
    ),
    error(
        "layer-conflict",
        "Two layers of the same priority disagree on a value.",
        "Which of the two a device gets would depend on chance.",
        "Give the one that should win the higher priority.",
        fleet!(
            deployment!("vision", "  priority: 10\n  modules: {camera: {image: 'camera:1.3'}}"),
            deployment!(
                "debug",
                "  layered: true\n  priority: 20\n  modules: {camera: {env: {LOG_LEVEL: debug}}}"
            ),
            deployment!(
                "quiet",
                "  layered: true\n  priority: 20\n  modules: {camera: {env: {LOG_LEVEL: warn}}}"
            )
        ),
        fleet!(
            deployment!("vision", "  priority: 10\n  modules: {camera: {image: 'camera:1.3'}}"),
            deployment!(
                "debug",
                "  layered: true\n  priority: 20\n  modules: {camera: {env: {LOG_LEVEL: debug}}}"
            ),
            deployment!(
                "quiet",
                "  layered: true\n  priority: 30\n  modules: {camera: {env: {LOG_LEVEL: warn}}}"
            )
        ),
    ),
    error(
        "module-incomplete",
        "After layering a module still lacks its image or command.",
        "A layer changes a module that no base deploys, so there is nothing to run.",
        "Add the image or command, or the module to the base.",
        fleet!(
            deployment!("vision", "  priority: 10\n  modules: {camera: {image: 'camera:1.3'}}"),
            deployment!(
                "extra",
                "  layered: true\n  priority: 20\n  modules: {mic: {env: {LOG_LEVEL: debug}}}"
            )
        ),
        fleet!(
            deployment!("vision", "  priority: 10\n  modules: {camera: {image: 'camera:1.3'}}"),
            deployment!(
                "extra",
                "  layered: true\n  priority: 20\n  modules: {mic: {image: 'mic:2.0', env: {LOG_LEVEL: debug}}}"
            )
        ),
    ),
    error(
        "port-clash",
        "Two modules of a device publish the same port of the host.",
        "The second one to start is refused by the engine, again and again.",
        "Publish one of them at another port, or at another address of the host.",
        "modules:\n  a: {image: 'a:1', createOptions: {HostConfig: {PortBindings: {80/tcp: [{HostPort: '80'}]}}}}\n  \
         b: {image: 'b:1', createOptions: {HostConfig: {PortBindings: {8080/tcp: [{HostPort: '80'}]}}}}",
        "modules:\n  a: {image: 'a:1', createOptions: {HostConfig: {PortBindings: {80/tcp: [{HostPort: '80'}]}}}}\n  \
         b: {image: 'b:1', createOptions: {HostConfig: {PortBindings: {8080/tcp: [{HostPort: '81'}]}}}}",
    ),
    warning(
        "port-of-hub",
        "A module takes a port on which the edge hub waits for other devices.",
        "The devices below this one connect to 8883, 5671 and 443; they would find the module there.",
        "Publish it at another port of the host.",
        "modules:\n  a: {image: 'a:1', createOptions: {HostConfig: {PortBindings: {1883/tcp: [{HostPort: '8883'}]}}}}",
        "modules:\n  a: {image: 'a:1', createOptions: {HostConfig: {PortBindings: {1883/tcp: [{HostPort: '1883'}]}}}}",
    ),
    warning(
        "bind-clash",
        "Two modules of a device mount the same path of the host, and one of them can write.",
        "What one writes the other reads, perhaps half written.",
        "Mount it read-only where nothing is written, or give each a folder of its own.",
        "modules:\n  a: {image: 'a:1', createOptions: {HostConfig: {Binds: ['/srv/x:/data']}}}\n  \
         b: {image: 'b:1', createOptions: {HostConfig: {Binds: ['/srv/x:/data']}}}",
        "modules:\n  a: {image: 'a:1', createOptions: {HostConfig: {Binds: ['/srv/x:/data:ro']}}}\n  \
         b: {image: 'b:1', createOptions: {HostConfig: {Binds: ['/srv/x:/data:ro']}}}",
    ),
    warning(
        "name-clash",
        "Two modules of a device answer to the same name on their network.",
        "Names take capitals and small letters for the same; which module answers is left to chance.",
        "Rename one of them, or change its alias.",
        "modules: {camera: {image: 'a:1'}, Camera: {image: 'b:1'}}",
        "modules: {camera: {image: 'a:1'}, camera-2: {image: 'b:1'}}",
    ),
    warning(
        "layer-without-base",
        "A layered deployment has no base to lie on.",
        "IoT Edge applies layers only on top of a base; the layer has no effect on these devices.",
        "Add a base deployment for them, or set `layered: false`.",
        fleet!(deployment!(
            "vision",
            "  layered: true\n  priority: 10\n  modules: {camera: {image: 'camera:1.3'}}"
        )),
        fleet!(deployment!(
            "vision",
            "  layered: false\n  priority: 10\n  modules: {camera: {image: 'camera:1.3'}}"
        )),
    ),
    warning(
        "layer-below-base",
        "A layered deployment does not have a higher priority than its base.",
        "IoT Edge passes over layers at or below the base.",
        "Give the layer a priority above that of the base.",
        fleet!(
            deployment!("vision", "  priority: 10\n  modules: {camera: {image: 'camera:1.3'}}"),
            deployment!(
                "debug",
                "  layered: true\n  priority: 5\n  modules: {camera: {env: {LOG_LEVEL: debug}}}"
            )
        ),
        fleet!(
            deployment!("vision", "  priority: 10\n  modules: {camera: {image: 'camera:1.3'}}"),
            deployment!(
                "debug",
                "  layered: true\n  priority: 20\n  modules: {camera: {env: {LOG_LEVEL: debug}}}"
            )
        ),
    ),
    warning(
        "device-without-base",
        "No deployment selects an edge device.",
        "It runs nothing but the runtime itself.",
        "Correct its tags or a target condition, or remove `edge: true`.",
        fleet!(
            "---\napiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: press-02}\nspec: {edge: true, tags: {site: lion}}\n",
            deployment!("vision", "  priority: 10\n  modules: {camera: {image: 'camera:1.3'}}")
        ),
        fleet!(
            "---\napiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: press-02}\nspec: {edge: true, tags: {site: lyon}}\n",
            deployment!("vision", "  priority: 10\n  modules: {camera: {image: 'camera:1.3'}}")
        ),
    ),
    warning(
        "deployment-without-device",
        "The target condition of a deployment selects no edge device.",
        "The deployment has no effect.",
        "Correct the condition or the tags of the devices.",
        fleet!(
            deployment!("vision", "  priority: 10\n  modules: {camera: {image: 'camera:1.3'}}"),
            "---\napiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {name: audio}\nspec:\n  targetCondition: tags.site = 'lion'\n  \
             priority: 20\n  modules: {mic: {image: 'mic:2.0'}}\n"
        ),
        fleet!(
            deployment!("vision", "  priority: 10\n  modules: {camera: {image: 'camera:1.3'}}"),
            deployment!("audio", "  priority: 20\n  modules: {mic: {image: 'mic:2.0'}}")
        ),
    ),
    note(
        "condition-reads-reported",
        "A target condition reads reported properties.",
        "Only a running hub knows them, so the documents alone do not tell which devices are meant.",
        "Use tags where the choice is known beforehand.",
        "targetCondition: properties.reported.model = 'X2'",
        "targetCondition: tags.model = 'X2'",
    ),
];
