//! Pushing and pulling, as the OCI distribution specification 1.1 has it.

use bytes::Bytes;
use http::{
    HeaderMap, Method, StatusCode,
    header::{ACCEPT, LOCATION},
};
use url::Url;

use super::{
    Credentials, Labels, Reference, RegistryError, Vouching,
    layout::{self, Descriptor, EMPTY, INDEX, Index, MANIFEST, Manifest},
    transport::{Call, Transport},
};

/// Manifests, indices and configurations are some kilobytes.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

/// How large what is pulled may be, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A component.
    pub component: u64,
    /// A statement.
    pub statement: u64,
    /// The signatures of one statement.
    pub signatures: u64,
}

/// What was pulled. Every byte has the digest that it was asked for by.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The manifest's digest: what pins it.
    pub digest: String,
    /// The component.
    pub component: Vec<u8>,
    /// What vouches for it, each from one who pushed it.
    pub vouching: Vec<Vouching>,
}

/// What was pushed.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The tag.
    pub tag: String,
    /// The manifest's digest: what pins it.
    pub digest: String,
    /// The digest of what vouches for it, if anything does.
    pub vouching: Option<String>,
}

/// One repository of a registry.
pub struct Registry {
    reference: Reference,
    transport: Transport,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("reference", &self.reference).finish_non_exhaustive()
    }
}

impl Registry {
    /// The repository that `reference` names.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Tls`].
    pub fn new(reference: &Reference, credentials: Option<Credentials>) -> Result<Self, RegistryError> {
        let transport = Transport::new(&reference.host, reference.is_loopback(), credentials)?;
        Ok(Self { reference: reference.clone(), transport })
    }

    /// Pulls the component, by its digest where the reference has one, and what vouches for it.
    ///
    /// # Errors
    ///
    /// Each failure has its variant; a byte that is not what it should be is one.
    pub async fn pull(&mut self, limits: Limits) -> Result<Pulled, RegistryError> {
        let what = self.reference.to_string();
        let wanted = self.reference.digest.clone();
        let place = wanted.clone().or_else(|| self.reference.tag.clone()).unwrap_or_else(|| "latest".to_owned());
        let call = Call::new(Method::GET, self.url(&["manifests", &place])?).header(ACCEPT, MANIFEST);
        let response = self.transport.send(&what, &call).await?;
        if response.status() != StatusCode::OK {
            return Err(self.transport.failure(&what, response).await);
        }
        // A tag is what the registry says it is; it must at least say it of these bytes.
        let expected = wanted.or_else(|| content_digest(response.headers()));
        let bytes = self.transport.read(&what, response, DOCUMENT_BYTES_MAX, expected.as_deref()).await?;
        let digest = super::sha256(&bytes);
        let manifest = Manifest::parse(&what, &bytes)?;
        let layer = manifest.component(&what)?.clone();
        let config = self.blob("the configuration", &manifest.config, DOCUMENT_BYTES_MAX).await?;
        layout::check_config(&what, &config, &layer)?;
        let component = self.blob("the component", &layer, limits.component).await?;
        let vouching = self.vouching(&digest, limits).await?;
        Ok(Pulled { digest, component, vouching })
    }

    /// Pushes the component and what vouches for it, under the reference's tag or else its version.
    ///
    /// # Errors
    ///
    /// Each failure has its variant. The manifest is pushed last: where an earlier step fails, the tag
    /// stays what it was.
    pub async fn push(
        &mut self,
        component: &[u8],
        labels: &Labels,
        vouching: Option<&Vouching>,
    ) -> Result<Pushed, RegistryError> {
        let tag = self.reference.tag.clone().unwrap_or_else(|| labels.tag());
        let config = layout::config(component, labels);
        let manifest = Manifest::of_component(component, &config, labels);
        let bytes = manifest.to_bytes();
        let subject = Descriptor { artifact_type: None, ..manifest.descriptor(&bytes) };
        self.upload("the component", component).await?;
        self.upload("the configuration", &config).await?;
        // What vouches comes first: whoever finds the component finds that, too.
        let referrer = match vouching {
            Some(vouching) => Some(self.push_vouching(vouching, subject.clone()).await?),
            None => None,
        };
        self.put_manifest(&tag, MANIFEST, bytes).await?;
        Ok(Pushed { tag, digest: subject.digest, vouching: referrer })
    }

    async fn push_vouching(&mut self, vouching: &Vouching, subject: Descriptor) -> Result<String, RegistryError> {
        self.upload("the statement", &vouching.statement).await?;
        self.upload("the signatures", &vouching.signatures).await?;
        self.upload("the empty configuration", EMPTY).await?;
        let about = subject.digest.clone();
        let manifest = Manifest::of_vouching(vouching, subject);
        let bytes = manifest.to_bytes();
        let descriptor = manifest.descriptor(&bytes);
        let headers = self.put_manifest(&descriptor.digest, MANIFEST, bytes).await?;
        // A registry that keeps track of referrers says so; for one that does not, whoever pushes keeps the list
        // ("pushing manifests with subject", "referrers tag schema").
        if !headers.contains_key("oci-subject") {
            let tag = referrers_tag(&about);
            let mut index = self.index(&["manifests", &tag]).await?.unwrap_or_else(Index::new);
            if !index.manifests.iter().any(|it| it.digest == descriptor.digest) {
                index.manifests.push(descriptor.clone());
                self.put_manifest(&tag, INDEX, index.to_bytes()).await?;
            }
        }
        Ok(descriptor.digest)
    }

    /// What vouches for the manifest `subject`. What is malformed vouches for nothing.
    async fn vouching(&mut self, subject: &str, limits: Limits) -> Result<Vec<Vouching>, RegistryError> {
        let index = match self.index(&["referrers", subject]).await? {
            Some(index) => Some(index),
            None => self.index(&["manifests", &referrers_tag(subject)]).await?,
        };
        let mut found = Vec::new();
        for descriptor in index.iter().flat_map(Index::vouching) {
            let what = "what vouches for the component";
            let call = Call::new(Method::GET, self.url(&["manifests", &descriptor.digest])?).header(ACCEPT, MANIFEST);
            let response = self.transport.send(what, &call).await?;
            if response.status() != StatusCode::OK {
                return Err(self.transport.failure(what, response).await);
            }
            let bytes = self.transport.read(what, response, DOCUMENT_BYTES_MAX, Some(&descriptor.digest)).await?;
            let Ok(manifest) = Manifest::parse(what, &bytes) else { continue };
            let Some((statement, signatures)) = manifest.vouching(subject) else { continue };
            let statement = self.blob("the statement", statement, limits.statement).await?;
            let signatures = self.blob("the signatures", signatures, limits.signatures).await?;
            found.push(Vouching { statement, signatures });
        }
        Ok(found)
    }

    /// An index, if there is one.
    async fn index(&mut self, path: &[&str]) -> Result<Option<Index>, RegistryError> {
        let what = "the list of what refers to the component";
        let call = Call::new(Method::GET, self.url(path)?).header(ACCEPT, INDEX);
        let response = self.transport.send(what, &call).await?;
        match response.status() {
            StatusCode::OK => {
                let bytes = self.transport.read(what, response, DOCUMENT_BYTES_MAX, None).await?;
                let problem = "it is no index".to_owned();
                Index::parse(&bytes).map(Some).ok_or(RegistryError::Layout { what: what.to_owned(), problem })
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.transport.failure(what, response).await),
        }
    }

    /// The bytes that `descriptor` points to: no more than it says, and with the digest that it says.
    async fn blob(&mut self, what: &str, descriptor: &Descriptor, max: u64) -> Result<Vec<u8>, RegistryError> {
        if descriptor.size > max {
            return Err(RegistryError::TooLarge { what: what.to_owned(), max });
        }
        let call = Call::new(Method::GET, self.url(&["blobs", &descriptor.digest])?);
        let response = self.transport.send(what, &call).await?;
        if response.status() != StatusCode::OK {
            return Err(self.transport.failure(what, response).await);
        }
        self.transport.read(what, response, descriptor.size, Some(&descriptor.digest)).await
    }

    /// Uploads a blob, unless it is there ("pushing a blob monolithically").
    async fn upload(&mut self, what: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        let digest = super::sha256(bytes);
        let there = self.transport.send(what, &Call::new(Method::HEAD, self.url(&["blobs", &digest])?)).await?;
        if there.status() == StatusCode::OK {
            return Ok(());
        }
        let start = Call::new(Method::POST, self.url(&["blobs", "uploads", ""])?);
        let response = self.transport.send(what, &start).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.transport.failure(what, response).await);
        }
        let refuse = |problem| RegistryError::Redirect { what: what.to_owned(), problem };
        let place = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let mut place =
            place.and_then(|place| start.url.join(place).ok()).ok_or_else(|| refuse("it may be uploaded nowhere"))?;
        // Who asks is told to whom the upload goes, and so that must be the registry.
        if place.origin() != start.url.origin() {
            return Err(refuse("it would be uploaded to another host"));
        }
        place.query_pairs_mut().append_pair("digest", &digest);
        let call = Call::new(Method::PUT, place).body("application/octet-stream", Bytes::copy_from_slice(bytes));
        let response = self.transport.send(what, &call).await?;
        if response.status() == StatusCode::CREATED {
            Ok(())
        } else {
            Err(self.transport.failure(what, response).await)
        }
    }

    async fn put_manifest(
        &mut self,
        place: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<HeaderMap, RegistryError> {
        let what = "the manifest";
        let digest = super::sha256(&bytes);
        let call = Call::new(Method::PUT, self.url(&["manifests", place])?).body(media_type, Bytes::from(bytes));
        let response = self.transport.send(what, &call).await?;
        if response.status() != StatusCode::CREATED {
            return Err(self.transport.failure(what, response).await);
        }
        match content_digest(response.headers()) {
            Some(found) if found != digest => {
                Err(RegistryError::Digest { what: what.to_owned(), expected: digest, found })
            }
            _ => Ok(response.headers().clone()),
        }
    }

    fn url(&self, path: &[&str]) -> Result<Url, RegistryError> {
        let Reference { host, name, .. } = &self.reference;
        let text = format!("{}://{host}/v2/{name}/{}", self.reference.scheme(), path.join("/"));
        let problem = "its host is none";
        Url::parse(&text).map_err(|_| RegistryError::Reference { text: self.reference.to_string(), problem })
    }
}

/// The tag under which a registry without referrers has the list of them.
fn referrers_tag(digest: &str) -> String {
    digest.replace(':', "-")
}

fn content_digest(headers: &HeaderMap) -> Option<String> {
    headers.get("docker-content-digest").and_then(|value| value.to_str().ok()).map(str::to_owned)
}
