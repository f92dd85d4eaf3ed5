//! The code in the documents is code: each block is read by what would read it, where that is cheap.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Blocks of these are only looked at by people.
const UNREAD: [&str; 6] = ["", "go", "hcl", "ini", "rust", "text"];

#[test]
fn code_blocks_are_read_by_their_languages() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let mut read: BTreeMap<String, usize> = BTreeMap::new();
    for path in docs.chain([root.join("README.md")]) {
        let text = std::fs::read_to_string(&path).unwrap();
        for Block {
            line,
            language,
            code,
        } in blocks(&text)
        {
            let place = format!("{}:{line}", path.display());
            match language {
                "sh" => runs("bash", &["-n"], &code, &place),
                "python" => {
                    let parse = "import ast, sys; ast.parse(sys.stdin.read())";
                    runs("python3", &["-c", parse], &code, &place);
                }
                "yaml" => {
                    let documents: Result<Vec<Value>, _> = serde_saphyr::from_multiple(&code);
                    documents.unwrap_or_else(|error| panic!("{place}: {error}"));
                }
                "json" => {
                    let value: Result<Value, _> = serde_json::from_str(&code);
                    value.unwrap_or_else(|error| panic!("{place}: {error}"));
                }
                other => assert!(UNREAD.contains(&other), "{place}: who reads `{other}`?"),
            }
            *read.entry(language.to_owned()).or_default() += 1;
        }
    }
    println!("{read:?}");
    assert!(
        read["python"] >= 2 && read["yaml"] >= 2 && read["sh"] >= 2,
        "{read:?}"
    );
}

struct Block<'a> {
    /// Where it begins.
    line: usize,
    language: &'a str,
    code: String,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (line, content) in (1..).zip(text.lines()) {
        let fence = content.strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(language)) => {
                let code = String::new();
                open = Some(Block {
                    line,
                    language,
                    code,
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.code.push_str(content);
                block.code.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// The program takes the code on its standard input and has nothing against it.
fn runs(program: &str, arguments: &[&str], code: &str, place: &str) {
    let mut process = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    input.write_all(code.as_bytes()).unwrap();
    drop(input);
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{place}: {said}");
}
