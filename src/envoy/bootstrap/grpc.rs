//! The bootstrap of a gRPC client without a proxy: who it is, and where the control plane is (gRFC A27).

use serde_json::{Value, json};

use super::XdsAddress;
use crate::model::NodeRef;

/// Writes the bootstrap that `GRPC_XDS_BOOTSTRAP` names the file of.
pub fn grpc_bootstrap(node: &NodeRef, xds: &XdsAddress) -> Value {
    json!({
        "xds_servers": [{
            "server_uri": xds.to_string(),
            "channel_creds": [{ "type": "insecure" }],
            "server_features": ["xds_v3"],
        }],
        "node": { "id": node.to_string() },
    })
}
