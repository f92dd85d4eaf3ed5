//! TLS of listeners and of clients, for nodes and gateways alike.

use super::{api_struct, api_union};

api_struct! {
    ClientPolicy {
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<ClientPolicyTls>,
    }
    ClientPolicyTls {
        #[serde(skip_serializing_if = "Option::is_none")]
        certificate: Option<ClientTlsCertificate>,
        #[serde(skip_serializing_if = "Option::is_none")]
        enforce: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ports: Option<Vec<u16>>,
        validation: TlsValidationContext,
    }
    TlsValidationContext {
        #[serde(skip_serializing_if = "Option::is_none")]
        subject_alternative_names: Option<SubjectAlternativeNames>,
        trust: TlsValidationContextTrust,
    }
    SubjectAlternativeNames {
        r#match: SubjectAlternativeNameMatchers,
    }
    SubjectAlternativeNameMatchers {
        exact: Vec<String>,
    }
    FileCertificate {
        certificate_chain: String,
        private_key: String,
    }
    SdsCertificate {
        secret_name: String,
    }
    AcmCertificate {
        certificate_arn: String,
    }
    AcmTrust {
        certificate_authority_arns: Vec<String>,
    }
    FileTrust {
        certificate_chain: String,
    }
    ListenerTls {
        certificate: ListenerTlsCertificate,
        mode: ListenerTlsMode,
        #[serde(skip_serializing_if = "Option::is_none")]
        validation: Option<ListenerTlsValidationContext>,
    }
    ListenerTlsValidationContext {
        #[serde(skip_serializing_if = "Option::is_none")]
        subject_alternative_names: Option<SubjectAlternativeNames>,
        trust: ListenerTlsValidationContextTrust,
    }
}

api_union! {
    ClientTlsCertificate {
        File(FileCertificate),
        Sds(SdsCertificate),
    }
    TlsValidationContextTrust {
        Acm(AcmTrust),
        File(FileTrust),
        Sds(SdsCertificate),
    }
    ListenerTlsCertificate {
        Acm(AcmCertificate),
        File(FileCertificate),
        Sds(SdsCertificate),
    }
    ListenerTlsValidationContextTrust {
        File(FileTrust),
        Sds(SdsCertificate),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ListenerTlsMode {
    Strict,
    Permissive,
    Disabled,
}
