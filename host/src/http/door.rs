//! The emergency door: a page whose address is a secret. It is compared, and told to nobody: not to the log, to a
//! policy, to the record or to another page.

use axum::{
    body::Body,
    extract::Path,
    http::{HeaderValue, Method, Request, Uri, header},
    response::Response,
};

use super::{
    error::Failure,
    gateway::{Asked, Gateway},
    login::{Site, submit, visit_of_a_person},
};
use crate::secret::Secret;

/// The route, for the log and for the facts of a request.
pub(super) const ROUTE: &str = "/{emergency}";

/// What stands in the place of the path from here on.
const PATH: &str = "/emergency";

/// Is the door there? Takes as long for a path that is nearly right as for any other.
pub(super) fn is_at(asked: &Asked, uri: &Uri) -> bool {
    asked.settings.config.emergency.as_ref().is_some_and(|emergency| emergency.path.is(uri.path()))
}

/// Gateway's host: `GET …?app=…`, the form; `POST` with `login`, `username`, `password`.
pub(super) async fn answer<B>(gateway: &Gateway, asked: &Asked, request: Request<B>) -> Response
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let name = Ok(Path(String::new()));
    let request = without_its_path(request.map(Body::new));
    let mut response = match *request.method() {
        Method::GET | Method::HEAD => {
            visit_of_a_person(gateway, asked, name, request, async |visitor, _name, fields| {
                Ok(gateway.flow.door(visitor, fields.find("app")))
            })
            .await
        }
        Method::POST => {
            submit(gateway, asked, name, request, Site::Gateway, async |visitor, _name, fields| {
                let missing = || Failure::BadRequest("form-incomplete");
                let login = fields.find("login").ok_or_else(missing)?;
                let username = fields.find("username").ok_or_else(missing)?;
                let password = fields.owned("password").map(Secret::new).ok_or_else(missing)?;
                Ok(gateway.flow.knock(visitor, login, username, password).await)
            })
            .await
        }
        _ => Failure::NotFound.page(gateway, asked),
    };
    // `no-referrer` would make the form's `Origin` null (Fetch §3.2); this tells the origin and never the path.
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("strict-origin"));
    response
}

/// The same request, at a path that anybody may know. The query stays; nothing says where the browser was before.
fn without_its_path(mut request: Request<Body>) -> Request<Body> {
    let path = match request.uri().query() {
        Some(query) => format!("{PATH}?{query}"),
        None => PATH.to_owned(),
    };
    *request.uri_mut() = Uri::try_from(path).unwrap_or_else(|_| Uri::from_static(PATH));
    request.headers_mut().remove(header::REFERER);
    request
}
