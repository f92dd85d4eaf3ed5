//! Files that are generated and committed: each is made anew here and compared.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;

use outrigger::snapshot::descriptors;
use prost::Message;
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};
use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// Compares a generated file with the committed one; `UPDATE_GENERATED=1` writes it instead.
pub(crate) fn check_file(path: &str, generated: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::vars().any(|(name, value)| name == "UPDATE_GENERATED" && value == "1") {
        std::fs::write(&path, generated).unwrap();
    }
    let committed = std::fs::read(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{} is not what its source generates; run UPDATE_GENERATED=1 cargo test generated",
        path.display()
    );
}

/// The folder of a dependency's source, wherever cargo keeps it.
fn package_folder(name: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let package = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|package| package["name"] == name);
    let manifest = package.unwrap()["manifest_path"].as_str().unwrap();
    Path::new(manifest).parent().unwrap().to_owned()
}

/// Rust for Outrigger's own gRPC service. Committed, so that building needs neither `protoc` nor a build script.
#[test]
fn operator_service_is_that_of_its_proto() {
    let folder = tempfile::tempdir().unwrap();
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let files = protox::compile(["outrigger/operator/v1/operator.proto"], [proto]).unwrap();
    tonic_prost_build::configure()
        .out_dir(folder.path())
        .btree_map(".")
        .compile_fds(files)
        .unwrap();
    let generated = std::fs::read(folder.path().join("outrigger.operator.v1.rs")).unwrap();
    check_file("src/api/operator/generated.rs", &generated);
}

/// `envoy-types` ships the descriptors of everything it generates; the messages served here need a tenth of them.
#[test]
fn envoy_descriptors_are_those_of_envoy_types() {
    let whole =
        std::fs::read(package_folder("envoy-types").join("src/generated/types.bin")).unwrap();
    let pool = DescriptorPool::decode(whole.as_slice()).unwrap();
    let kept = reachable(&pool, descriptors::ROOTS);
    let files = pool
        .files()
        .map(|file| file.file_descriptor_proto().clone());
    let files = files
        .filter_map(|file| prune(file, &kept))
        .collect::<Vec<FileDescriptorProto>>();
    let set = drop_unused_imports(FileDescriptorSet { file: files });
    check_file("proto/envoy-descriptors.binpb", &set.encode_to_vec());
    for root in descriptors::ROOTS {
        assert!(
            descriptors::message(root).is_some(),
            "{root} has no descriptor"
        );
    }
}

/// The full names of the messages and enums that the roots reach through their fields.
fn reachable(pool: &DescriptorPool, roots: &[&str]) -> BTreeSet<String> {
    let mut kept = BTreeSet::new();
    let mut queue: VecDeque<MessageDescriptor> = roots
        .iter()
        .map(|root| pool.get_message_by_name(root).expect(root))
        .collect();
    while let Some(message) = queue.pop_front() {
        if !kept.insert(message.full_name().to_owned()) {
            continue;
        }
        queue.extend(message.parent_message());
        for field in message.fields() {
            match field.kind() {
                Kind::Message(nested) => queue.push_back(nested),
                Kind::Enum(nested) => {
                    queue.extend(nested.parent_message());
                    kept.insert(nested.full_name().to_owned());
                }
                _ => {}
            }
        }
    }
    kept
}

/// The file with only the kept messages and enums, without options and comments; `None` if nothing stays.
fn prune(mut file: FileDescriptorProto, kept: &BTreeSet<String>) -> Option<FileDescriptorProto> {
    let package = file.package().to_owned();
    file.message_type
        .retain_mut(|message| prune_message(message, &package, kept));
    file.enum_type
        .retain(|item| kept.contains(&format!("{package}.{}", item.name())));
    file.service.clear();
    file.extension.clear();
    file.source_code_info = None;
    file.options = None;
    for item in &mut file.enum_type {
        strip_enum(item);
    }
    (!file.message_type.is_empty() || !file.enum_type.is_empty()).then_some(file)
}

fn prune_message(
    message: &mut prost_types::DescriptorProto,
    parent: &str,
    kept: &BTreeSet<String>,
) -> bool {
    let name = format!("{parent}.{}", message.name());
    message
        .nested_type
        .retain_mut(|nested| prune_message(nested, &name, kept));
    message
        .enum_type
        .retain(|item| kept.contains(&format!("{name}.{}", item.name())));
    message.enum_type.iter_mut().for_each(strip_enum);
    // Whether a message is a map's entry is an option that must stay.
    if !message
        .options
        .as_ref()
        .is_some_and(prost_types::MessageOptions::map_entry)
    {
        message.options = None;
    }
    for field in &mut message.field {
        field.options = None;
    }
    for oneof in &mut message.oneof_decl {
        oneof.options = None;
    }
    message.extension.clear();
    kept.contains(&name)
}

fn strip_enum(item: &mut prost_types::EnumDescriptorProto) {
    item.options = None;
    for value in &mut item.value {
        value.options = None;
    }
}

/// Imports of files that were pruned away are taken out; what is still needed is there.
fn drop_unused_imports(mut set: FileDescriptorSet) -> FileDescriptorSet {
    let names: BTreeSet<String> = set.file.iter().map(|file| file.name().to_owned()).collect();
    for file in &mut set.file {
        file.dependency.retain(|name| names.contains(name));
        file.public_dependency.clear();
        file.weak_dependency.clear();
    }
    set
}
