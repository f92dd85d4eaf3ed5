//! What is added to a text, written as JSON or as YAML.

/// A value, with its members in the order in which they are written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum New {
    Text(String),
    Number(u32),
    Bool(bool),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl New {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    pub(super) fn map<const N: usize>(members: [(&str, Self); N]) -> Self {
        let members = members.into_iter();
        Self::Map(
            members
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    pub(super) fn is_scalar(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Number(_) | Self::Bool(_))
    }

    /// As JSON: in one line, or in lines that begin with `indent`, where each level is indented by `unit`.
    pub(super) fn json(&self, indent: &str, unit: &str) -> String {
        let inner = format!("{indent}{unit}");
        let (brackets, parts): (_, Vec<String>) = match self {
            Self::Text(text) => return quoted(text),
            Self::Number(number) => return number.to_string(),
            Self::Bool(value) => return value.to_string(),
            Self::List(items) => (
                ["[", "]"],
                items.iter().map(|item| item.json(&inner, unit)).collect(),
            ),
            Self::Map(members) => {
                let member = |(name, value): &(String, Self)| {
                    format!("{}: {}", quoted(name), value.json(&inner, unit))
                };
                (["{", "}"], members.iter().map(member).collect())
            }
        };
        let [open, close] = brackets;
        if unit.is_empty() {
            return format!("{open}{}{close}", parts.join(", "));
        }
        let lines = parts.join(&format!(",\n{inner}"));
        format!("{open}\n{inner}{lines}\n{indent}{close}")
    }

    /// The rest of a block map's line behind its name, and the lines below it, which begin with `indent`. JSON in several lines
    /// stays that.
    pub(super) fn yaml_member(&self, name: &str, indent: &str) -> String {
        if let Self::Text(text) = self
            && text.ends_with("}\n")
        {
            let lines = text.lines().map(|line| format!("\n{indent}  {line}"));
            return format!("{name}: |{}", lines.collect::<String>());
        }
        if self.is_scalar() {
            return format!("{name}: {}", self.yaml_scalar());
        }
        let below = self.yaml_lines().into_iter();
        let lines: Vec<String> = below.map(|line| format!("\n{indent}  {line}")).collect();
        format!("{name}:{}", lines.concat())
    }

    /// As an item of a block list whose dashes are behind `indent`, from its dash.
    pub(super) fn yaml_item(&self, indent: &str) -> String {
        as_item(self.yaml_lines()).join(&format!("\n{indent}"))
    }

    /// Where the first of its lines has begun, and the others begin with `indent`.
    pub(super) fn yaml_at(&self, indent: &str) -> String {
        self.yaml_lines().join(&format!("\n{indent}"))
    }

    /// As a document of its own, line by line.
    pub(super) fn yaml_document(&self) -> String {
        let lines = self.yaml_lines().into_iter();
        lines.map(|line| line + "\n").collect()
    }

    pub(super) fn yaml_scalar(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
            // JSON within YAML is read more easily without a backslash before each of its quotes.
            Self::Text(text) if text.contains('"') && !text.contains(char::is_control) => {
                format!("'{}'", text.replace('\'', "''"))
            }
            Self::Text(text) => match serde_saphyr::to_string(text) {
                Ok(yaml) if !yaml.trim_end().contains('\n') => yaml.trim_end().to_owned(),
                // Every JSON text is a YAML text.
                _ => quoted(text),
            },
            Self::List(_) | Self::Map(_) => self.json("", ""),
        }
    }

    fn yaml_lines(&self) -> Vec<String> {
        match self {
            Self::Text(_) | Self::Number(_) | Self::Bool(_) => vec![self.yaml_scalar()],
            Self::List(items) => {
                let items = items.iter();
                items.flat_map(|item| as_item(item.yaml_lines())).collect()
            }
            Self::Map(members) => {
                let lines = |(name, value): &(String, Self)| {
                    let text = value.yaml_member(name, "");
                    text.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
                };
                members.iter().flat_map(lines).collect()
            }
        }
    }
}

fn as_item(lines: Vec<String>) -> Vec<String> {
    let marks = std::iter::once("- ").chain(std::iter::repeat("  "));
    marks
        .zip(lines)
        .map(|(mark, line)| format!("{mark}{line}"))
        .collect()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
