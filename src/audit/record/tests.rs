//! The golden line, its bounds, and what a refusal says.

use super::*;

fn body(record: &Record) -> String {
    let mut out = Vec::new();
    record.write_body(7, "00", &mut out);
    out.push(b'}');
    String::from_utf8(out).unwrap()
}

fn call() -> Record {
    let at = Timestamp::from_millis(1_738_060_200_123);
    let mut record = Record::new(Event::ToolInvocation, at, "req_abc123");
    record
        .user("12345")
        .team("67890")
        .tool("clickup_task_create")
        .method("POST")
        .path("/mcp?token=canary")
        .address("203.0.113.42".parse().unwrap())
        .user_agent("Claude\r\n Desktop/1.0\u{85}")
        .token_id("jti_xyz789")
        .route("clickup")
        .rpc_method("tools/call")
        .rule("allow-writes")
        .detail("list_id", "90144360426")
        .finished(at, Duration::from_millis(245));
    record
}

#[test]
fn r172_r173_r174_r175_r176_r177_r178_r179_r180_r181_r182_r183_r184_r185_r186_c18_the_golden_line()
{
    let golden = concat!(
        r#"{"timestamp":"2025-01-28T10:30:00.123Z","request_id":"req_abc123","seq":7,"schema_version":1,"#,
        r#""kind":"tool-invocations","event_type":"tool_invocation","action":"tool_invocation","severity":"info","#,
        r#""user_id":"12345","team_id":"67890","tool_name":"clickup_task_create","method":"POST","path":"/mcp","#,
        r#""ip_address":"203.0.113.42","user_agent":"Claude Desktop/1.0","jwt_token_id":"jti_xyz789","#,
        r#""status":"success","duration_ms":245,"stage":null,"reason":null,"rule":"allow-writes","#,
        r#""route":"clickup","rpc_method":"tools/call","details":{"list_id":"90144360426"},"error":null,"#,
        r#""prev":"00"}"#
    );
    assert_eq!(body(&call()), golden);
}

#[test]
fn r183_r186_r195_a_refusal_names_its_stage_reason_and_error_and_no_user() {
    let mut record = Record::new(Event::AuthFailure, Timestamp::from_seconds(0), "req_0");
    record
        .refused(Stage::Auth, "token_expired")
        .failed("invalid_token", "expired 12 s ago");
    let line: Value = serde_json::from_str(&body(&record)).unwrap();
    assert_eq!(line["kind"], "security-events");
    assert_eq!(line["status"], "error");
    assert_eq!(line["stage"], "auth");
    assert_eq!(line["reason"], "token_expired");
    assert_eq!(line["severity"], "medium");
    assert_eq!(line["user_id"], Value::Null);
    assert_eq!(line["error"]["code"], "invalid_token");
}

#[test]
fn r205_line_breaks_stay_inside_the_line_and_long_values_are_cut() {
    let mut record = call();
    record
        .tool("a\nb\r\n{\"seq\":1}")
        .path(&"/x".repeat(5_000))
        .detail("note", "first\nsecond")
        .failed("upstream", &"é".repeat(5_000));
    let line = body(&record);
    assert!(!line.contains('\n') && !line.contains('\r'));
    assert!(line.len() < 4_000, "{}", line.len());
    assert!(line.contains("…[+"));
    record.detail("blob", "x".repeat(100_000));
    let line: Value = serde_json::from_str(&body(&record)).unwrap();
    assert_eq!(line["details"]["truncated"], true);
}

#[test]
fn c48_addresses_can_be_cut_to_their_network() {
    for (full, cut) in [
        ("203.0.113.42", "203.0.113.0"),
        ("2001:db8:1:2::9", "2001:db8:1::"),
        ("::ffff:203.0.113.42", "203.0.113.0"),
    ] {
        let mut record = call();
        record.address(full.parse().unwrap()).truncate_address();
        assert!(
            body(&record).contains(&format!(r#""ip_address":"{cut}""#)),
            "{full}"
        );
    }
}
