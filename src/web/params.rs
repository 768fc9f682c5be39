//! The parameters of queries and forms, each at most once (RFC 6749 section 3.1: "Request and response parameters MUST NOT
//! be included more than once").

use url::form_urlencoded;

/// The most parameters that are read.
const PARAMS_MAX: usize = 64;

/// Why parameters cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// The body is not of the type that is read here.
    #[error("the content type is not the one that is read here")]
    MediaType,
    /// The text is not well formed.
    #[error("the parameters are not well formed")]
    Malformed,
    /// A parameter is there twice.
    #[error("the parameter `{0}` is there more than once")]
    Repeated(String),
    /// There are too many.
    #[error("there are more than {PARAMS_MAX} parameters")]
    TooMany,
}

/// Parameters by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads `a=b&c=d`. `resource` alone may be there more than once (RFC 8707 section 2).
    ///
    /// # Errors
    /// [`ParamsError`] when they can be read in more than one way.
    pub fn parse(text: &[u8]) -> Result<Self, ParamsError> {
        let mut out: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if out.len() == PARAMS_MAX {
                return Err(ParamsError::TooMany);
            }
            // What was no UTF-8 became a replacement character, which no parameter of ours holds.
            if name.contains('\u{fffd}') || value.contains(['\u{fffd}', '\0']) {
                return Err(ParamsError::Malformed);
            }
            if name != "resource" && out.iter().any(|(known, _)| *known == name) {
                return Err(ParamsError::Repeated(name.into_owned()));
            }
            out.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(out))
    }

    /// The parameter, unless it is absent or empty (RFC 6749 section 3.1: a parameter without a value is treated as
    /// omitted).
    pub fn find(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a parameter that may be repeated.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6749_s3_1_a_parameter_that_is_there_twice_is_refused() {
        for text in ["state=a&state=b", "state=&state=b", "st%61te=a&state=b"] {
            let refused = Params::parse(text.as_bytes());
            assert_eq!(
                refused,
                Err(ParamsError::Repeated("state".into())),
                "{text}"
            );
        }
        let many = "resource=a&".repeat(65);
        assert_eq!(Params::parse(many.as_bytes()), Err(ParamsError::TooMany));
        for text in ["a=%ff", "a=b%00c", "%ff=a"] {
            let refused = Params::parse(text.as_bytes());
            assert_eq!(refused, Err(ParamsError::Malformed), "{text}");
        }
    }

    #[test]
    fn rfc6749_s3_1_a_parameter_without_a_value_is_as_if_it_were_not_there() {
        let params = Params::parse(b"a=&b=c+d%20e&resource=1&resource=2").unwrap();
        assert_eq!(params.find("a"), None);
        assert_eq!(params.find("x"), None);
        assert_eq!(params.find("b"), Some("c d e"));
        assert_eq!(params.all("resource").collect::<Vec<_>>(), ["1", "2"]);
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_encoded_is_read_again(
            pairs in proptest::collection::btree_map("[ -~é€😀]{1,12}", "[ -~é€😀]{0,40}", 0..20)
        ) {
            let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            let read = Params::parse(text.as_bytes()).unwrap();
            for (name, value) in &pairs {
                let expected = Some(value.as_str()).filter(|value| !value.is_empty());
                proptest::prop_assert_eq!(read.find(name), expected);
            }
        }
    }
}
