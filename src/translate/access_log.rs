//! Access logs, as the node's `logging` asks for.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::accesslog::v3::{AccessLog as EnvoyAccessLog, access_log};
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::substitution_format_string::Format;
use envoy_types::pb::envoy::config::core::v3::{DataSource, SubstitutionFormatString};
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::{
    FileAccessLog, file_access_log,
};
use envoy_types::pb::envoy::extensions::access_loggers::stream::v3::{
    StderrAccessLog, StdoutAccessLog, stderr_access_log, stdout_access_log,
};
use envoy_types::pb::google::protobuf::{Any, Struct, Value, value};

use crate::model::spec::{AccessLog, LoggingFormat, VirtualNodeSpec};

use super::proto;

/// The loggers of all of a node's listeners; none if the node does not ask for one.
///
/// Standard output and error are written through loggers of their own, since the path cannot be opened when it belongs
/// to another user (measured on Envoy 1.40: the listener is rejected).
pub(crate) fn loggers(spec: &VirtualNodeSpec) -> Vec<EnvoyAccessLog> {
    let Some(AccessLog::File(file)) = spec
        .logging
        .as_ref()
        .and_then(|logging| logging.access_log.as_ref())
    else {
        return Vec::new();
    };
    let format = file.format.as_ref().and_then(format_string);
    match file.path.as_str() {
        "" => Vec::new(),
        "/dev/stdout" => {
            let config = StdoutAccessLog {
                access_log_format: format.map(stdout_access_log::AccessLogFormat::LogFormat),
            };
            vec![logger("envoy.access_loggers.stdout", proto::any(&config))]
        }
        "/dev/stderr" => {
            let config = StderrAccessLog {
                access_log_format: format.map(stderr_access_log::AccessLogFormat::LogFormat),
            };
            vec![logger("envoy.access_loggers.stderr", proto::any(&config))]
        }
        path => {
            let config = FileAccessLog {
                path: path.to_owned(),
                access_log_format: format.map(file_access_log::AccessLogFormat::LogFormat),
            };
            vec![logger("envoy.access_loggers.file", proto::any(&config))]
        }
    }
}

fn logger(name: &str, config: Any) -> EnvoyAccessLog {
    EnvoyAccessLog {
        name: name.to_owned(),
        config_type: Some(access_log::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

fn format_string(format: &LoggingFormat) -> Option<SubstitutionFormatString> {
    let format = match format {
        LoggingFormat::Text(text) if text.is_empty() => return None,
        LoggingFormat::Text(text) => Format::TextFormatSource(DataSource {
            specifier: Some(Specifier::InlineString(text.clone())),
            ..Default::default()
        }),
        LoggingFormat::Json(members) => {
            let fields = members.iter().map(|member| {
                let kind = Some(value::Kind::StringValue(member.value.clone()));
                (member.key.clone(), Value { kind })
            });
            Format::JsonFormat(Struct {
                fields: fields.collect::<HashMap<_, _>>(),
            })
        }
    };
    Some(SubstitutionFormatString {
        format: Some(format),
        ..Default::default()
    })
}
