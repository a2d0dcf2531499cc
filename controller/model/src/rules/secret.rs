//! Rules about `Secret` documents and those who name them.

use super::{Rule, error, warning};

/// In the order in which a document meets them.
pub(super) const RULES: &[Rule] = &[
    error(
        "secret-in-clear",
        "A value of a Secret stands in clear.",
        "The repository has many readers and never forgets; the value is known to all of them.",
        "Replace the value by a new one, and encrypt the file with SOPS before it is committed.",
        "apiVersion: hemline.dev/v1alpha1\nkind: Secret\nmetadata: {name: cam}\nstringData: {token: hunter2}",
        "apiVersion: hemline.dev/v1alpha1\nkind: Secret\nmetadata: {name: cam}\nstringData: {token: \"ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]\"}\nsops:\n  age:\n    - recipient: age1x\n      enc: |\n        -----BEGIN AGE ENCRYPTED FILE-----\n  lastmodified: '2026-01-02T03:04:05Z'\n  mac: ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]",
    ),
    error(
        "secret-sops",
        "Something that SOPS wrote is missing or damaged.",
        "No device could open the document, and its modules would not get what they need.",
        "Restore it from Git, or encrypt the values again.",
        "apiVersion: hemline.dev/v1alpha1\nkind: Secret\nmetadata: {name: cam}\nstringData: {token: \"ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]\"}",
        "apiVersion: hemline.dev/v1alpha1\nkind: Secret\nmetadata: {name: cam}\nstringData: {token: \"ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]\"}\nsops:\n  age:\n    - recipient: age1x\n      enc: |\n        -----BEGIN AGE ENCRYPTED FILE-----\n  lastmodified: '2026-01-02T03:04:05Z'\n  mac: ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]",
    ),
    error(
        "secret-no-age",
        "The values are not encrypted for age keys, or the key is shared out among groups.",
        "Devices have age keys and no others; they must open a document alone and offline.",
        "Encrypt it for the age recipients of the devices.",
        "apiVersion: hemline.dev/v1alpha1\nkind: Secret\nmetadata: {name: cam}\nstringData: {token: \"ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]\"}\nsops:\n  pgp: [{fp: A1B2, enc: x}]\n  lastmodified: '2026-01-02T03:04:05Z'\n  mac: ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]",
        "apiVersion: hemline.dev/v1alpha1\nkind: Secret\nmetadata: {name: cam}\nstringData: {token: \"ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]\"}\nsops:\n  age:\n    - recipient: age1x\n      enc: |\n        -----BEGIN AGE ENCRYPTED FILE-----\n  lastmodified: '2026-01-02T03:04:05Z'\n  mac: ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]",
    ),
    error(
        "secret-too-much",
        "The kind or the apiVersion of a document is encrypted too.",
        "Nobody can tell what the document is without its key, the controller included.",
        "Encrypt the values alone: `encrypted_regex: '^(data|stringData)$'` in .sops.yaml.",
        "apiVersion: hemline.dev/v1alpha1\nkind: \"ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]\"\nmetadata: {name: cam}\nstringData: {token: \"ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]\"}\nsops:\n  age:\n    - recipient: age1x\n      enc: |\n        -----BEGIN AGE ENCRYPTED FILE-----\n  lastmodified: '2026-01-02T03:04:05Z'\n  mac: ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]",
        "apiVersion: hemline.dev/v1alpha1\nkind: Secret\nmetadata: {name: cam}\nstringData: {token: \"ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]\"}\nsops:\n  age:\n    - recipient: age1x\n      enc: |\n        -----BEGIN AGE ENCRYPTED FILE-----\n  lastmodified: '2026-01-02T03:04:05Z'\n  mac: ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]",
    ),
    error(
        "secret-not-alone",
        "A Secret shares its file with other documents.",
        "The proof of SOPS that nobody changed the values is over the whole file, and a device gets one document.",
        "Give the Secret a file of its own.",
        "apiVersion: hemline.dev/v1alpha1\nkind: Secret\nmetadata: {name: cam}\nstringData: {token: \"ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]\"}\nsops:\n  age:\n    - recipient: age1x\n      enc: |\n        -----BEGIN AGE ENCRYPTED FILE-----\n  lastmodified: '2026-01-02T03:04:05Z'\n  mac: ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]\n---\napiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: x}\nspec: {}",
        "apiVersion: hemline.dev/v1alpha1\nkind: Secret\nmetadata: {name: cam}\nstringData: {token: \"ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]\"}\nsops:\n  age:\n    - recipient: age1x\n      enc: |\n        -----BEGIN AGE ENCRYPTED FILE-----\n  lastmodified: '2026-01-02T03:04:05Z'\n  mac: ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]",
    ),
    error(
        "secret-key",
        "A variable names a key that the secret does not have.",
        "The module could not be made on any device.",
        "Correct the key, or add it with `sops edit`.",
        "image: camera:1.3\nenv: {TOKEN: {secretRef: {name: cam, key: tokn}}}",
        "image: camera:1.3\nenv: {TOKEN: {secretRef: {name: cam, key: token}}}",
    ),
    warning(
        "secret-unknown",
        "A variable names a secret that no document holds, in a repository that has secrets.",
        "Every device has to have the value in a file or in the environment of its agent; a slip in the name looks the same.",
        "Correct the name, add the document, or silence this where the devices have it.",
        "image: camera:1.3\nenv: {TOKEN: {secretRef: {name: cma, key: token}}}",
        "image: camera:1.3\nenv: {TOKEN: {secretRef: {name: cam, key: token}}}",
    ),
];
