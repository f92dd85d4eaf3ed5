//! TLS of listeners and of clients, for nodes and gateways alike.

use super::{Form, Object, PORT, Rule, TEXT, Type, list, optional, required, text};

pub(super) static CLIENT_POLICY: Object = Object {
    name: "ClientPolicy",
    fields: &[optional("tls", Type::Object(&CLIENT_POLICY_TLS))],
    rules: &[],
};

static CLIENT_POLICY_TLS: Object = Object {
    name: "ClientPolicyTls",
    fields: &[
        optional("certificate", Type::Object(&CLIENT_CERTIFICATE)),
        optional("enforce", Type::Bool),
        optional("ports", list(&PORT)),
        required("validation", Type::Object(&CLIENT_VALIDATION)),
    ],
    rules: &[],
};

static CLIENT_CERTIFICATE: Object = Object {
    name: "ClientTlsCertificate",
    fields: &[
        optional("file", Type::Object(&FILE_CERTIFICATE)),
        optional("sds", Type::Object(&SDS)),
    ],
    rules: &[Rule::ExactlyOne(&["file", "sds"])],
};

static FILE_CERTIFICATE: Object = Object {
    name: "ListenerTlsFileCertificate",
    fields: &[
        required("certificateChain", text(1, 255)),
        required("privateKey", text(1, 255)),
    ],
    rules: &[],
};

static SDS: Object = Object {
    name: "ListenerTlsSdsCertificate",
    fields: &[required("secretName", TEXT)],
    rules: &[],
};

static CLIENT_VALIDATION: Object = Object {
    name: "TlsValidationContext",
    fields: &[
        optional("subjectAlternativeNames", Type::Object(&ALTERNATIVE_NAMES)),
        required("trust", Type::Object(&CLIENT_TRUST)),
    ],
    rules: &[],
};

static ALTERNATIVE_NAMES: Object = Object {
    name: "SubjectAlternativeNames",
    fields: &[required("match", Type::Object(&ALTERNATIVE_NAME_MATCHERS))],
    rules: &[],
};

static ALTERNATIVE_NAME_MATCHERS: Object = Object {
    name: "SubjectAlternativeNameMatchers",
    fields: &[required(
        "exact",
        list(&Type::Text {
            min: 1,
            max: 254,
            form: Form::Any,
        }),
    )],
    rules: &[],
};

static CLIENT_TRUST: Object = Object {
    name: "TlsValidationContextTrust",
    fields: &[
        optional("acm", Type::Object(&ACM_TRUST)),
        optional("file", Type::Object(&FILE_TRUST)),
        optional("sds", Type::Object(&SDS)),
    ],
    rules: &[Rule::ExactlyOne(&["acm", "file", "sds"])],
};

static ACM_TRUST: Object = Object {
    name: "TlsValidationContextAcmTrust",
    fields: &[required(
        "certificateAuthorityArns",
        Type::List {
            item: &TEXT,
            min: 1,
            max: 3,
        },
    )],
    rules: &[],
};

static FILE_TRUST: Object = Object {
    name: "TlsValidationContextFileTrust",
    fields: &[required("certificateChain", text(1, 255))],
    rules: &[],
};

pub(super) static LISTENER_TLS: Object = Object {
    name: "ListenerTls",
    fields: &[
        required("certificate", Type::Object(&LISTENER_CERTIFICATE)),
        required("mode", Type::Enum(&["STRICT", "PERMISSIVE", "DISABLED"])),
        optional("validation", Type::Object(&LISTENER_VALIDATION)),
    ],
    rules: &[],
};

static LISTENER_CERTIFICATE: Object = Object {
    name: "ListenerTlsCertificate",
    fields: &[
        optional("acm", Type::Object(&ACM_CERTIFICATE)),
        optional("file", Type::Object(&FILE_CERTIFICATE)),
        optional("sds", Type::Object(&SDS)),
    ],
    rules: &[Rule::ExactlyOne(&["acm", "file", "sds"])],
};

static ACM_CERTIFICATE: Object = Object {
    name: "ListenerTlsAcmCertificate",
    fields: &[required("certificateArn", TEXT)],
    rules: &[],
};

static LISTENER_VALIDATION: Object = Object {
    name: "ListenerTlsValidationContext",
    fields: &[
        optional("subjectAlternativeNames", Type::Object(&ALTERNATIVE_NAMES)),
        required("trust", Type::Object(&LISTENER_TRUST)),
    ],
    rules: &[],
};

static LISTENER_TRUST: Object = Object {
    name: "ListenerTlsValidationContextTrust",
    fields: &[
        optional("file", Type::Object(&FILE_TRUST)),
        optional("sds", Type::Object(&SDS)),
    ],
    rules: &[Rule::ExactlyOne(&["file", "sds"])],
};
