//! A user agent for the tests: one cookie jar, no redirect that nobody sees, forms.

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

/// How many redirects one page may take.
const HOPS_MAX: usize = 20;

/// One answer.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where it was asked for.
    pub url: Url,
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as text.
    pub body: String,
}

impl Page {
    /// A header's value; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// Where it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Where a redirect leads, absolute.
    #[must_use]
    pub fn location(&self) -> Option<Url> {
        self.headers.get(header::LOCATION).and_then(|value| self.url.join(value.to_str().ok()?).ok())
    }

    /// The forms of the page.
    #[must_use]
    pub fn forms(&self) -> Vec<Form> {
        Form::all(self)
    }
}

/// A form as it stands in a page.
#[derive(Clone, Debug)]
pub struct Form {
    /// Where it goes.
    pub action: Url,
    /// `GET` or `POST`.
    pub method: Method,
    /// The fields with their values, hidden ones and buttons included.
    pub fields: Vec<(String, String)>,
}

impl Form {
    fn all(page: &Page) -> Vec<Self> {
        let attribute = |tag: &str, name: &str| -> Option<String> {
            let pattern = format!(r#"(?is)\b{name}\s*=\s*("([^"]*)"|'([^']*)'|([^\s>]+))"#);
            let found = regex::Regex::new(&pattern).ok()?.captures(tag)?;
            let text = found.get(2).or_else(|| found.get(3)).or_else(|| found.get(4))?.as_str();
            Some(unescape(text))
        };
        let forms = regex::Regex::new(r"(?is)<form\b([^>]*)>(.*?)</form>").expect("a pattern");
        let inputs = regex::Regex::new(r"(?is)<(input|button)\b([^>]*)>").expect("a pattern");
        forms
            .captures_iter(&page.body)
            .map(|form| Self {
                action: page.url.join(&attribute(&form[1], "action").unwrap_or_default()).expect("an address"),
                method: attribute(&form[1], "method")
                    .filter(|method| method.eq_ignore_ascii_case("post"))
                    .map_or(Method::GET, |_| Method::POST),
                fields: inputs
                    .captures_iter(&form[2])
                    .filter_map(|input| {
                        Some((attribute(&input[2], "name")?, attribute(&input[2], "value").unwrap_or_default()))
                    })
                    .collect(),
            })
            .collect()
    }

    /// The form with `name` set to `value`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

fn unescape(text: &str) -> String {
    let mut text = text.to_owned();
    for (entity, character) in [
        ("&#x2f;", "/"),
        ("&#x27;", "'"),
        ("&#39;", "'"),
        ("&quot;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, character);
    }
    text
}

/// A cookie as a user agent keeps it. Like a real one, the jar does not tell ports apart.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The host that set it.
    pub host: String,
    /// Its path.
    pub path: String,
    /// Its value.
    pub value: String,
    /// The whole `Set-Cookie`, for tests of its attributes.
    pub line: String,
}

/// A user agent.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// The jar, by name, host and path.
    pub jar: BTreeMap<(String, String, String), Kept>,
    /// Headers that go with every request.
    pub headers: Vec<(String, String)>,
    /// The pages on the way to the last one, redirects included.
    pub trail: Vec<Page>,
}

impl Browser {
    /// A user agent that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One request, no redirect followed; cookies are sent and kept.
    pub async fn request(
        &mut self,
        method: Method,
        url: &Url,
        body: Option<(&str, String)>,
        headers: &[(&str, &str)],
    ) -> Page {
        let host = url.host_str().expect("a host").to_owned();
        let port = url.port_or_known_default().expect("a port");
        let address: SocketAddr = format!("127.0.0.1:{port}").parse().expect("an address");
        let stream = TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        let driver = tokio::spawn(connection);
        let mut path = url.path().to_owned();
        if let Some(query) = url.query() {
            let _ = write!(path, "?{query}");
        }
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, format!("{host}:{port}"));
        let cookies: Vec<String> = self
            .jar
            .iter()
            .filter(|((_, kept_host, kept_path), _)| *kept_host == host && url.path().starts_with(kept_path.as_str()))
            .map(|((name, ..), kept)| format!("{name}={}", kept.value))
            .collect();
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        request = request.header(header::ACCEPT, "text/html,*/*").header(header::USER_AGENT, "vestibule-tests");
        for (name, value) in
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(headers.iter().copied())
        {
            request = request.header(name, value);
        }
        let body = match body {
            Some((kind, body)) => {
                request = request.header(header::CONTENT_TYPE, kind);
                body
            }
            None => String::new(),
        };
        let response = sender
            .send_request(request.body(Full::new(Bytes::from(body))).expect("a request"))
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        driver.abort();
        for line in head.headers.get_all(header::SET_COOKIE) {
            self.keep(&host, url.path(), line.to_str().expect("a cookie"));
        }
        Page {
            url: url.clone(),
            status: head.status,
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    /// Gets a page, following redirects.
    pub async fn get(&mut self, url: &str) -> Page {
        let url = Url::parse(url).expect("an address");
        self.trail.clear();
        let page = self.request(Method::GET, &url, None, &[]).await;
        self.follow(page).await
    }

    /// Gets a page and follows nothing.
    pub async fn peek(&mut self, url: &str) -> Page {
        let url = Url::parse(url).expect("an address");
        self.request(Method::GET, &url, None, &[]).await
    }

    /// Submits a form, following redirects. Sends `Origin` as a browser does.
    pub async fn submit(&mut self, form: &Form) -> Page {
        self.trail.clear();
        let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
        let page = if form.method == Method::POST {
            let origin = form.action.origin().ascii_serialization();
            let headers = [("origin", origin.as_str()), ("sec-fetch-site", "same-origin")];
            self.request(Method::POST, &form.action, Some(("application/x-www-form-urlencoded", encoded)), &headers)
                .await
        } else {
            let mut url = form.action.clone();
            url.set_query(Some(&encoded));
            self.request(Method::GET, &url, None, &[]).await
        };
        self.follow(page).await
    }

    /// Every cookie that a page of `host` would get, by name.
    #[must_use]
    pub fn cookies(&self, host: &str) -> BTreeMap<String, String> {
        self.jar
            .iter()
            .filter(|((_, kept_host, _), _)| kept_host == host)
            .map(|((name, ..), kept)| (name.clone(), kept.value.clone()))
            .collect()
    }

    async fn follow(&mut self, mut page: Page) -> Page {
        for _ in 0..HOPS_MAX {
            let Some(next) = page.location().filter(|_| page.status.is_redirection()) else {
                return page;
            };
            self.trail.push(page);
            page = self.request(Method::GET, &next, None, &[]).await;
        }
        panic!("more than {HOPS_MAX} redirects, at last to {}", page.url);
    }

    fn keep(&mut self, host: &str, request_path: &str, line: &str) {
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a cookie");
        let mut path = request_path
            .rsplit_once('/')
            .map_or("/", |(folder, _)| if folder.is_empty() { "/" } else { folder })
            .to_owned();
        let mut gone = false;
        for attribute in parts {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            match key.to_ascii_lowercase().as_str() {
                "path" => value.clone_into(&mut path),
                "max-age" => gone |= value.parse::<i64>().is_ok_and(|age| age <= 0),
                "expires" => gone |= value.contains("1970"),
                _ => {}
            }
        }
        let key = (name.to_owned(), host.to_owned(), path.clone());
        if gone {
            self.jar.remove(&key);
        } else {
            let kept = Kept { host: host.to_owned(), path, value: value.to_owned(), line: line.to_owned() };
            self.jar.insert(key, kept);
        }
    }
}
