//! End to end, with real components: npm `oidc-provider` as the upstream, nginx and Traefik
//! as the proxies, Chromium as the browser, and the gateway as an operator runs it.

mod attacks;
mod bad_input;
mod browser;
mod login;
mod logout;
mod logout_sent;
mod provider;
mod registration;
mod reverse_proxy;
mod saml;
mod saml_apache;
mod scene;
mod swap;
mod upstreams;
