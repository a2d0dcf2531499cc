//! Rules about `TwinConfiguration` documents that only the whole fleet shows.

use super::{Rule, error, warning};

/// In the order in which a fleet meets them.
pub(super) const RULES: &[Rule] = &[
    error(
        "configuration-conflict",
        "Two twin configurations of the same priority disagree on a property of one twin.",
        "Git has no time of creation that could decide, and a coin flip would decide differently every day.",
        "Give the one that should win the higher priority, or say the property in the Device document.",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: press-01}\nspec: {tags: {site: lyon}}\n\
         ---\napiVersion: hemline.dev/v1alpha1\nkind: TwinConfiguration\nmetadata: {name: all}\nspec: {targetCondition: \"*\", priority: 10, desired: {fps: 1}}\n\
         ---\napiVersion: hemline.dev/v1alpha1\nkind: TwinConfiguration\nmetadata: {name: lyon}\nspec: {targetCondition: \"tags.site = 'lyon'\", priority: 10, desired: {fps: 2}}\n",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: press-01}\nspec: {tags: {site: lyon}}\n\
         ---\napiVersion: hemline.dev/v1alpha1\nkind: TwinConfiguration\nmetadata: {name: all}\nspec: {targetCondition: \"*\", priority: 10, desired: {fps: 1}}\n\
         ---\napiVersion: hemline.dev/v1alpha1\nkind: TwinConfiguration\nmetadata: {name: lyon}\nspec: {targetCondition: \"tags.site = 'lyon'\", priority: 20, desired: {fps: 2}}\n",
    ),
    warning(
        "configuration-without-target",
        "The condition of a twin configuration selects no device, or no module.",
        "Its properties reach nobody, most often because of a slip in the condition.",
        "Correct the condition, or the tags of the devices.",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: press-01}\nspec: {tags: {site: lyon}}\n\
         ---\napiVersion: hemline.dev/v1alpha1\nkind: TwinConfiguration\nmetadata: {name: lyon}\nspec: {targetCondition: \"tags.sight = 'lyon'\", priority: 10, desired: {fps: 2}}\n",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: press-01}\nspec: {tags: {site: lyon}}\n\
         ---\napiVersion: hemline.dev/v1alpha1\nkind: TwinConfiguration\nmetadata: {name: lyon}\nspec: {targetCondition: \"tags.site = 'lyon'\", priority: 10, desired: {fps: 2}}\n",
    ),
];
