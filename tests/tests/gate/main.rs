//! End to end, with real components: npm `oidc-provider` as the upstream, reverse
//! proxies, Chromium as the browser, and the gateway as an operator runs it.

mod attacks;
mod bad_input;
mod browser;
mod canary;
mod https_backend;
mod languages;
mod login;
mod logout;
mod logout_everywhere;
mod logout_sent;
mod oauth2_proxy;
mod provider;
mod provider_apache;
mod registration;
mod replay;
mod reverse_proxy;
mod rollback;
mod saml;
mod saml_apache;
mod saml_logout;
mod saml_php;
mod scene;
mod second_factor;
mod supply;
mod swap;
mod upstreams;
mod walkthroughs;
