//! Folders as operators leave them, and what is found in each.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;
use crate::clock::Timestamp;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";
/// 2026-11-21.
const TODAY: Timestamp = Timestamp::from_seconds(1_795_219_200);

struct Folder(tempfile::TempDir);

impl Folder {
    /// A folder with a good configuration in it.
    fn new(rest: &str) -> Self {
        Self::of(&format!(
            "upstream: {{url: http://127.0.0.1:3000/mcp}}\n{rest}"
        ))
    }

    /// A folder with this configuration in it.
    fn of(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("sallygate.yaml", text, 0o600);
        folder
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let file = self.0.path().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("sallygate.yaml")
    }

    /// Errors and warnings, with the folder's own name cut out.
    fn findings(&self) -> (Vec<String>, Vec<String>) {
        let check = Check {
            config: ConfigFile { file: self.file() },
            strict: false,
            json: false,
        };
        let env = [("JWT_SECRET", KEY)].into_iter().collect();
        let (found, _) = check.look(&env, &Clock::manual(TODAY));
        let root = self.0.path().display().to_string();
        let said = |list: Vec<Mistake>| {
            list.iter()
                .map(|one| one.to_string().replace(&root, "DIR"))
                .collect()
        };
        (said(found.errors), said(found.warnings))
    }
}

/// A certificate for one host, with its key.
fn certificate(host: &str, from: (i32, u8), until: (i32, u8)) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    params.not_before = date_time_ymd(from.0, from.1, 1);
    params.not_after = date_time_ymd(until.0, until.1, 1);
    let cert = params.self_signed(&key).unwrap();
    (cert.pem(), key.serialize_pem())
}

const TLS: &str = "listen:\n  public_url: https://mcp.example.com\n  tls: {cert_file: cert.pem, key_file: key.pem}\n";

#[test]
fn certificates_that_would_fail_clients_are_errors() {
    let (_, other_key) = certificate("mcp.example.com", (2026, 1), (2028, 1));
    let good = ((2026, 1), (2028, 1));
    for (host, (from, until), swap, said) in [
        (
            "other.example.com",
            good,
            None,
            "the certificate is not made for `mcp.example.com`; use one that names the host of listen.public_url",
        ),
        (
            "*.com",
            good,
            None,
            "the certificate is not made for `mcp.example.com`; use one that names the host of listen.public_url",
        ),
        (
            "mcp.example.com",
            ((2024, 1), (2026, 1)),
            None,
            "the certificate expired at 2026-01-01T00:00:00Z; renew the certificate",
        ),
        (
            "mcp.example.com",
            ((2027, 1), (2028, 1)),
            None,
            "the certificate is not valid before 2027-01-01T00:00:00Z; renew the certificate",
        ),
        (
            "mcp.example.com",
            good,
            Some(other_key.as_str()),
            "certificate and key do not belong together; name the certificate chain and the private key that belongs to it",
        ),
        (
            "mcp.example.com",
            good,
            Some("no key"),
            "DIR/key.pem holds no private key in PEM form; name the certificate chain and the private key that belongs to it",
        ),
    ] {
        let folder = Folder::new(TLS);
        let (cert, key) = certificate(host, from, until);
        folder.write("cert.pem", &cert, 0o644);
        folder.write("key.pem", swap.unwrap_or(&key), 0o600);
        let (errors, _) = folder.findings();
        assert_eq!(errors, [format!("line 4: listen.tls.cert_file: {said}")]);
    }
    let folder = Folder::new(TLS);
    folder.write("cert.pem", "no certificate", 0o644);
    folder.write("key.pem", &other_key, 0o600);
    let (errors, _) = folder.findings();
    assert!(
        errors[0].contains("DIR/cert.pem holds no certificate in PEM form"),
        "{errors:?}"
    );
}

#[test]
fn client_certificates_that_cannot_be_checked_are_errors() {
    let text =
        "listen:\n  tls: {client_auth: {mode: required, ca_file: ca.pem, crl_files: [crl.pem]}}\n";
    let (authority, key) = certificate("callers", (2026, 1), (2028, 1));
    for (ca, crl, said) in [
        ("none", "none", "DIR/ca.pem holds no certificate"),
        (
            authority.as_str(),
            key.as_str(),
            "DIR/crl.pem holds no list of revoked certificates",
        ),
    ] {
        let folder = Folder::new(text);
        folder.write("ca.pem", ca, 0o644);
        folder.write("crl.pem", crl, 0o644);
        let (errors, _) = folder.findings();
        let found = errors
            .iter()
            .any(|error| error.contains("listen.tls.client_auth: ") && error.contains(said));
        assert!(found, "{errors:?}");
    }
}

#[test]
fn certificates_that_fit_are_fine_and_those_that_end_soon_are_warned_about() {
    for (host, until, warned) in [
        ("mcp.example.com", (2028, 1), false),
        ("*.example.com", (2028, 1), false),
        ("mcp.example.com", (2026, 12), true),
    ] {
        let folder = Folder::new(TLS);
        let (cert, key) = certificate(host, (2026, 1), until);
        folder.write("cert.pem", &cert, 0o644);
        folder.write("key.pem", &key, 0o600);
        let (errors, warnings) = folder.findings();
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(warnings.len(), usize::from(warned), "{warnings:?}");
    }
}

#[test]
fn r486_r598_files_with_secrets_are_for_their_owner_only() {
    let text = "auth: {keys: [{secret_file: jwt.key}]}\n";
    for (mode, who) in [
        (0o644, "everybody"),
        (0o604, "everybody"),
        (0o602, "everybody"),
    ] {
        let folder = Folder::new(text);
        folder.write("jwt.key", &KEY.replace("00", "ab"), mode);
        folder.write(".env", "JWT_SECRET=canary-not-a-real-secret", mode);
        let (errors, warnings) = folder.findings();
        assert_eq!(
            errors,
            [format!(
                "auth.keys[1].secret_file: DIR/jwt.key can be read by {who}; chmod 600 DIR/jwt.key"
            )]
            .map(|said| format!("line 2: {said}"))
        );
        assert_eq!(
            warnings,
            [format!("DIR/.env can be read by {who}; chmod 600 DIR/.env")]
        );
    }
    let folder = Folder::new(text);
    folder.write("jwt.key", &KEY.replace("00", "ab"), 0o600);
    folder.write(".env", "", 0o600);
    assert_eq!(folder.findings(), (vec![], vec![]));
}

#[test]
fn a_configuration_with_literal_secrets_is_for_its_owner_only() {
    let folder = Folder::new("sessions: {key: canary-not-a-real-key-0123456789abc}\n");
    assert_eq!(folder.findings().0, Vec::<String>::new());
    fs::set_permissions(folder.file(), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        folder.findings().0,
        [
            "the file holds secrets and can be read by everybody; chmod 600 DIR/sallygate.yaml, or move the secrets out"
        ]
    );
    let folder = Folder::new("sessions: {max_age: 1h}\n");
    fs::set_permissions(folder.file(), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(folder.findings().0, Vec::<String>::new());
}

#[test]
fn policies_are_compiled_and_every_mistake_has_its_file_and_line() {
    let folder = Folder::new("policy: {files: [\"*.cedar\"]}\n");
    folder.write("a.cedar", "permit(principal, action, resource);", 0o644);
    folder.write("b.cedar", "\npermit(principal action);", 0o644);
    folder.write(
        "c.cedar",
        "permit(principal, action, resource)\nwhen { principal.teir == \"free\" };\n\n\
         forbid(principal, action == Action::\"call_toll\", resource);",
        0o644,
    );
    let (errors, _) = folder.findings();
    for start in ["b.cedar:2: ", "c.cedar:2: ", "c.cedar:4: "] {
        let start = format!("line 2: policy.files: DIR/{start}");
        assert!(
            errors.iter().any(|error| error.starts_with(&start)),
            "{start} in {errors:#?}"
        );
    }
}

#[test]
fn what_is_odd_about_policies_is_warned_about_once() {
    let text = "routes:\n\
                - {name: a, path: /a, upstream: {url: \"http://127.0.0.1:3000/mcp\"}}\n\
                - {name: b, path: /b, upstream: {url: \"http://127.0.0.1:3001/mcp\"}}\n\
                policy: {files: [a.cedar]}\n";
    let folder = Folder::of(text);
    folder.write(
        "a.cedar",
        "permit(principal, action == Action::\"call_tool\", resource)\nwhen { resource.name == \"a\" && resource.name != resource.name };",
        0o644,
    );
    let (errors, warnings) = folder.findings();
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(warnings, Vec::<String>::new());
    folder.write(
        "a.cedar",
        "permit(principal, action == Action::\"call_tool\", resource) when { false };",
        0o644,
    );
    let (_, warnings) = folder.findings();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(
        warnings[0].starts_with("line 4: policy.files: DIR/a.cedar:1: "),
        "{warnings:#?}"
    );
    let folder = Folder::of(&text.replace("{files: [a.cedar]}", "{default: deny}"));
    let (_, warnings) = folder.findings();
    let said = "no rule permits a tool, so every tool is hidden";
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    for (warning, route) in warnings.iter().zip(["a", "b"]) {
        let start = format!("line 4: policy: route {route}: {said}");
        assert!(warning.starts_with(&start), "{warnings:#?}");
    }
}

#[test]
fn keys_of_issuers_are_read() {
    let issuer = "auth: {issuers: [{name: idp, issuer: \"https://idp.example.com\", jwks_file: jwks.json}]}\n";
    let folder = Folder::new(issuer);
    let help = "without its keys no token of the issuer is accepted";
    for (text, said) in [
        ("no json", "the document is no JSON Web Key Set"),
        (
            "{\"keys\": []}",
            "none of the 0 keys of the set can be used",
        ),
        (
            "{\"keys\": [{\"kty\": \"oct\", \"k\": \"canary-not-a-real-key\"}]}",
            "none of the 1 keys of the set can be used",
        ),
    ] {
        folder.write("jwks.json", text, 0o644);
        let (errors, _) = folder.findings();
        assert_eq!(
            errors,
            [format!("line 2: auth.issuers[0].jwks_file: {said}; {help}")]
        );
    }
    let key = "{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"kid\": \"a\", \"alg\": \"EdDSA\", \"use\": \"sig\", \
               \"x\": \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
    folder.write("jwks.json", key, 0o644);
    assert_eq!(folder.findings().0, Vec::<String>::new());
}

#[test]
fn certificates_towards_upstreams_and_issuers_are_read() {
    let text = "routes:\n\
                - name: a\n  upstream:\n    url: https://mcp.internal/mcp\n    ca_file: ca.pem\n    \
                client_cert_file: cert.pem\n    client_key_file: key.pem\n\
                auth:\n  issuers:\n  - {name: idp, issuer: \"https://idp.example.com\", ca_file: ca.pem}\n\
                extra_ca_file: ca.pem\n";
    let folder = Folder::of(text);
    let (cert, key) = certificate("client", (2026, 1), (2028, 1));
    let (_, other_key) = certificate("client", (2026, 1), (2028, 1));
    folder.write("ca.pem", "no certificate", 0o644);
    folder.write("cert.pem", &cert, 0o644);
    folder.write("key.pem", &other_key, 0o600);
    let (errors, _) = folder.findings();
    let none = "DIR/ca.pem holds no certificate; name a PEM file with certificates of authorities";
    assert_eq!(
        errors,
        [
            "line 6: routes[0].upstream.client_cert_file: certificate and key do not belong together; \
             name the certificate chain and the private key that belongs to it"
                .to_owned(),
            format!("line 5: routes[0].upstream.ca_file: {none}"),
            format!("line 11: extra_ca_file: {none}"),
            format!("line 10: auth.issuers[0].ca_file: {none}"),
        ]
    );
    folder.write("ca.pem", &cert, 0o644);
    folder.write("key.pem", &key, 0o600);
    assert_eq!(folder.findings().0, Vec::<String>::new());
}

#[test]
fn r321_an_audit_line_is_written_and_read_back_beside_a_trail_that_is_in_use() {
    let folder = Folder::new("");
    let trail = folder.0.path().join(".sallygate/audit-logs");
    let settings = crate::audit::Settings {
        directory: trail.clone(),
        ..crate::audit::Settings::default()
    };
    let key = crate::audit::ChainKey::new(crate::secret::Secret::new(vec![7; 32])).unwrap();
    let _in_use = crate::audit::Sink::open(&settings, key, Clock::manual(TODAY)).unwrap();
    fs::set_permissions(
        folder.0.path().join(".sallygate"),
        Permissions::from_mode(0o700),
    )
    .unwrap();
    let before = listed(&trail);
    assert_eq!(folder.findings(), (vec![], vec![]));
    assert_eq!(listed(&trail), before);
}

#[test]
fn r321_a_trail_that_cannot_be_written_is_an_error() {
    let folder = Folder::new("audit:\n  dir: no-folder/audit\n");
    folder.write("no-folder", "a file", 0o644);
    let (errors, _) = folder.findings();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].starts_with("line 3: audit.dir: a line cannot be written and read back: "),
        "{errors:?}"
    );
}

#[test]
fn a_fresh_folder_is_left_as_it_was() {
    let folder = Folder::new("");
    assert_eq!(folder.findings(), (vec![], vec![]));
    assert_eq!(listed(folder.0.path()), ["sallygate.yaml"]);
}

#[test]
fn ports_in_use_do_not_matter() {
    let (one, other) = (loopback(), loopback());
    let folder = Folder::new(&format!(
        "listen: {{address: \"{}\"}}\nmetrics: {{address: \"{}\"}}\n",
        one.local_addr().unwrap(),
        other.local_addr().unwrap()
    ));
    assert_eq!(folder.findings(), (vec![], vec![]));
}

#[test]
fn r320_a_tier_without_requests_is_refused() {
    for tier in ["free", "premium"] {
        let folder = Folder::new(&format!(
            "quotas: {{tiers: {{{tier}: {{per_minute: 0}}}}}}\n"
        ));
        let (errors, _) = folder.findings();
        assert_eq!(errors.len(), 1, "{errors:?}");
        let start = format!("line 2: quotas.tiers.{tier}.per_minute: ");
        assert!(errors[0].starts_with(&start), "{errors:?}");
    }
}

fn loopback() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}

fn listed(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn gaps_in_gitignore_are_found_in_a_work_tree_only() {
    let folder = Folder::new("");
    assert_eq!(folder.findings().1, Vec::<String>::new());
    fs::create_dir(folder.0.path().join(".git")).unwrap();
    folder.write(
        ".gitignore",
        "/.sallygate\n.env\n*-secrets/\n*.key\n*.pem\n*.p12\n*.bak\n*~\n",
        0o644,
    );
    let (_, warnings) = folder.findings();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].ends_with(
            ".gitignore does not name *.backup; add them, so that no secret is committed"
        ),
        "{warnings:?}"
    );
}

fn run(folder: &Folder, strict: bool, json: bool, env: &[(&str, &str)]) -> (Exit, String) {
    let check = Check {
        config: ConfigFile {
            file: folder.file(),
        },
        strict,
        json,
    };
    let (mut result, mut trouble) = (Vec::new(), Vec::new());
    let env = env.iter().copied().collect();
    let exit = check.run(&env, &mut Output::new(&mut result, &mut trouble));
    (exit, String::from_utf8(result).unwrap())
}

#[test]
fn r595_r277_warnings_fail_in_strict_mode() {
    let folder = Folder::new("");
    let env = [("JWT_SECRET", KEY), ("ENABLE_AUDIT_LOGGING", "false")];
    assert_eq!(run(&folder, false, false, &env).0, Exit::Done);
    let (exit, said) = run(&folder, true, false, &env);
    assert_eq!(exit, Exit::Failed);
    assert!(said.ends_with("not ok: 0 errors, 1 warnings\n"), "{said}");
    assert_eq!(
        run(&folder, true, false, &env[..1]),
        (Exit::Done, "ok: 0 errors, 0 warnings\n".into())
    );
}

#[test]
fn strict_mode_can_be_written_down() {
    let folder = Folder::new("strict: true\naudit: {enabled: false}\n");
    let env = [("JWT_SECRET", KEY)];
    assert_eq!(run(&folder, false, false, &env).0, Exit::Failed);
    let folder = Folder::new("audit: {enabled: false}\n");
    assert_eq!(run(&folder, false, false, &env).0, Exit::Done);
}

#[test]
fn r592_findings_name_file_line_and_setting() {
    let folder = Folder::new("sessions:\n  key: canary-not-a-real-key-0123456789abc\n");
    let (exit, said) = run(&folder, false, false, &[("JWT_SECRET", KEY)]);
    assert_eq!(exit, Exit::Done);
    let file = folder.file().display().to_string();
    assert!(
        said.starts_with(&format!(
            "warning: {file}: line 3: sessions.key: holds a literal secret; write ${{KEY}} and set that variable, or use a file\n"
        )),
        "{said}"
    );
    assert!(!said.contains("canary"));
}

#[test]
fn machines_get_one_json_document() {
    let folder = Folder::new("listem: 1\n");
    let (exit, said) = run(&folder, false, true, &[("JWT_SECRET", KEY)]);
    assert_eq!(exit, Exit::Failed);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(
        report["findings"],
        serde_json::json!([{
            "severity": "error",
            "setting": "listem",
            "line": 2,
            "message": "unknown setting",
            "help": "did you mean `listen`?",
        }])
    );
}

#[test]
fn a_key_that_cannot_sign_for_a_token_endpoint_is_found_before_the_start() {
    let folder = Folder::of(
        "routes: [{upstream: {url: http://127.0.0.1:3000/mcp, credential: {kind: client_credentials, \
         token_url: https://as.test/token, client_id: gw, client_auth: private_key_jwt, key_file: gw.pem}}}]\n",
    );
    folder.write("gw.pem", "canary-not-a-real-key", 0o600);
    let (errors, _) = folder.findings();
    let found = |error: &String| {
        error.contains("routes[0].upstream.credential") && error.contains("holds no RSA")
    };
    assert!(errors.iter().any(found), "{errors:?}");
    folder.write(
        "gw.pem",
        &KeyPair::generate().unwrap().serialize_pem(),
        0o600,
    );
    assert_eq!(folder.findings().0, Vec::<String>::new());
}
