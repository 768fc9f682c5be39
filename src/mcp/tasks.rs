//! The tasks that answers speak of. A task belongs to whoever's call created it, but the server behind us knows one caller
//! only, the gateway; so the gateway has to remember whose it is.

use super::json::{Rules, check};
use super::view::Json;

/// A task id longer than this has no honest reason.
const MAX_ID: usize = 256;

/// The member that names the task which a message belongs to (2025-11-25, Tasks).
const RELATED: &str = "io.modelcontextprotocol/related-task";

/// The id of the task that a notification or question of the server speaks of: `params.taskId`, or that of the related task
/// in `params._meta`.
pub fn spoken_of(message: &[u8]) -> Option<String> {
    memchr::memmem::find(message, b"taskId")?;
    let message = check(message, Rules::ANSWER).ok()?;
    message.member("method")?;
    let params = message.member("params")?;
    let related = || params.member("_meta")?.member(RELATED)?.member("taskId");
    let id = params.member("taskId").or_else(related)?.text()?;
    (id.len() <= MAX_ID).then(|| id.into_owned())
}

/// The id of the task that an answer to a call creates: `result.task.taskId` (2025-11-25, Tasks), or `result.taskId` beside
/// a `resultType` of `task` (the tasks extension of 2026-07-28).
pub fn created(answer: &[u8]) -> Option<String> {
    memchr::memmem::find(answer, b"taskId")?;
    let result = check(answer, Rules::ANSWER).ok()?.member("result")?;
    let is_task = || {
        let kind = result.member("resultType")?.text()?;
        (kind == "task").then_some(result)
    };
    let task = result
        .member("task")
        .filter(|task| task.is_object())
        .or_else(is_task)?;
    let id = task.member("taskId").and_then(Json::text)?;
    (id.len() <= MAX_ID).then(|| id.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_that_a_message_of_the_server_is_about_is_found() {
        for (message, expected) in [
            (
                r#"{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"t1","status":"working"}}"#,
                Some("t1"),
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t\u0031"}}}}"#,
                Some("t1"),
            ),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":{"taskId":"t1"}}}"#,
                None,
            ),
            (r#"{"jsonrpc":"2.0","id":1,"result":{"taskId":"t1"}}"#, None),
        ] {
            assert_eq!(
                spoken_of(message.as_bytes()).as_deref(),
                expected,
                "{message}"
            );
        }
    }

    #[test]
    fn tasks_are_found_in_the_answers_of_both_eras_and_nowhere_else() {
        for answer in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"taskId"}]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"taskId":"t1"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"task":{"taskId":"t1"}}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"taskId"}}"#,
            r#"{"jsonrpc":"2.0","method":"x","params":{"task":{"taskId":"t1"}}}"#,
            r#"{"result":{"task":{"taskId":7}}}"#,
            "taskId",
        ] {
            assert_eq!(created(answer.as_bytes()), None, "{answer}");
        }
        let long = "t".repeat(257);
        assert_eq!(
            created(format!(r#"{{"result":{{"task":{{"taskId":"{long}"}}}}}}"#).as_bytes()),
            None
        );
        for answer in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"task":{"taskId":"t1","status":"working"}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"t1","status":"working"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","task":{"taskId":"t\u0031"}}}"#,
        ] {
            assert_eq!(
                created(answer.as_bytes()).as_deref(),
                Some("t1"),
                "{answer}"
            );
        }
    }
}
