//! Texts with variables: `{{iot:device_id}}/alerts`. The five variables of IoT Edge are known, and no others.

/// What stands in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These characters.
    Text(String),
    /// A value of the client that asks.
    Variable(Variable),
}

/// A value of the client that asks, or of the device that the policy belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// `{{iot:identity}}`: `hub/device` or `hub/device/module`.
    Identity,
    /// `{{mqtt:client_id}}`: `device` or `device/module`.
    ClientId,
    /// `{{iot:device_id}}`: the device, of a module too.
    DeviceId,
    /// `{{iot:module_id}}`: the module; a device has none, and a text with this variable is not about it.
    ModuleId,
    /// `{{iot:this_device_id}}`: the edge device whose policy it is.
    ThisDeviceId,
}

/// A text, cut into pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// In order; texts are never empty and never side by side.
    pub pieces: Vec<Piece>,
}

/// Why a text cannot be cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No variable of this name.
    #[error("{{{{{name}}}}} is not known; there are {}", Variable::LIST)]
    Unknown {
        /// What stands between the braces.
        name: String,
        /// First byte of the braces in the text.
        start: usize,
        /// The byte behind them.
        end: usize,
    },
    /// Braces that are never closed.
    #[error("`{{{{` is never closed")]
    Open {
        /// Where they stand.
        start: usize,
    },
}

impl Variable {
    const LIST: &'static str = "{{iot:identity}}, {{mqtt:client_id}}, {{iot:device_id}}, {{iot:module_id}} and {{iot:this_device_id}}";

    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("iot:identity", Self::Identity),
        ("mqtt:client_id", Self::ClientId),
        ("iot:device_id", Self::DeviceId),
        ("iot:module_id", Self::ModuleId),
        ("iot:this_device_id", Self::ThisDeviceId),
    ];

    /// Can its value hold a slash, and so be more than one level of a topic?
    #[must_use]
    pub fn may_be_several_levels(self) -> bool {
        match self {
            Self::Identity | Self::ClientId => true,
            Self::DeviceId | Self::ModuleId | Self::ThisDeviceId => false,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, variable)| variable)
    }
}

impl Template {
    /// Cuts a text.
    ///
    /// # Errors
    /// When a variable is not known or not closed.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut from = 0;
        while let Some(open) = text.get(from..).and_then(|rest| rest.find("{{")).map(|at| from + at) {
            let inside = open + 2;
            let close = text.get(inside..).and_then(|rest| rest.find("}}")).map(|at| inside + at);
            let Some(close) = close else { return Err(TemplateError::Open { start: open }) };
            let name = text.get(inside..close).unwrap_or_default();
            let Some(variable) = Variable::named(name) else {
                return Err(TemplateError::Unknown { name: name.to_owned(), start: open, end: close + 2 });
            };
            if let Some(before) = text.get(from..open).filter(|before| !before.is_empty()) {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Variable(variable));
            from = close + 2;
        }
        if let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }

    /// The text with values in the places of variables; `None` when one of them has no value.
    #[must_use]
    pub fn render<'a>(&self, value: impl Fn(Variable) -> Option<&'a str>) -> Option<String> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Variable(variable) => text.push_str(value(*variable)?),
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_and_rendering() {
        let value = |variable| match variable {
            Variable::Identity => Some("hub/d/m"),
            Variable::ClientId => Some("d/m"),
            Variable::DeviceId => Some("d"),
            Variable::ModuleId => None,
            Variable::ThisDeviceId => Some("{{iot:device_id}}"),
        };
        for (text, pieces, rendered) in [
            ("", 0, Some("")),
            ("plain", 1, Some("plain")),
            ("{{iot:identity}}", 1, Some("hub/d/m")),
            ("a/{{iot:device_id}}/{{mqtt:client_id}}/z", 5, Some("a/d/d/m/z")),
            ("{{iot:device_id}}{{iot:device_id}}", 2, Some("dd")),
            ("x/{{iot:module_id}}", 2, None),
            // A value is not looked at again.
            ("{{iot:this_device_id}}", 1, Some("{{iot:device_id}}")),
            ("}} {", 1, Some("}} {")),
        ] {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.pieces.len(), pieces, "{text}");
            assert_eq!(template.render(value).as_deref(), rendered, "{text}");
        }
        let unknown = |name: &str, start, end| TemplateError::Unknown { name: name.into(), start, end };
        assert_eq!(Template::parse("a{{iot:device}}b"), Err(unknown("iot:device", 1, 15)));
        assert_eq!(Template::parse("{{ iot:identity }}"), Err(unknown(" iot:identity ", 0, 18)));
        assert_eq!(Template::parse("a/{{iot:identity}"), Err(TemplateError::Open { start: 2 }));
        assert_eq!(
            unknown("x", 0, 5).to_string(),
            "{{x}} is not known; there are {{iot:identity}}, {{mqtt:client_id}}, {{iot:device_id}}, {{iot:module_id}} \
             and {{iot:this_device_id}}"
        );
    }
}
